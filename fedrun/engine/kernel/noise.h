// Rounded Gaussian noise on a sum that stands on a grid (`fedrun/engine/_noise.py`), in float64.
// Normals by Box and Muller; logarithm, sine and cosine are those of FreeBSD's libm (fdlibm), each
// to about 1 unit in the last place, here without branches, so that the compiler makes vectors.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

static inline uint64_t bits(double x) {
  uint64_t b;
  memcpy(&b, &x, sizeof b);
  return b;
}
static inline double number(uint64_t b) {
  double x;
  memcpy(&x, &b, sizeof x);
  return x;
}

constexpr double WHOLE = 6755399441055744.0;  // 1.5 * 2^52: added to a number, it rounds it

// ln x for normal x > 0
static inline double logarithm(double x) {
  // x = m 2^k with m in [sqrt(1/2), sqrt(2))
  uint64_t shifted = bits(x) + (0x3ff0000000000000ull - 0x3fe6a09e667f3bcdull);
  double k = number((shifted >> 52) | bits(WHOLE)) - WHOLE - 1023.0;
  double m = number((shifted & 0x000fffffffffffffull) + 0x3fe6a09e667f3bcdull);
  double f = m - 1.0, s = f / (2.0 + f), z = s * s, half = 0.5 * f * f;
  double r = 1.479819860511658591e-01;
  r = r * z + 1.531383769920937332e-01;
  r = r * z + 1.818357216161805012e-01;
  r = r * z + 2.222219843214978396e-01;
  r = r * z + 2.857142874366239149e-01;
  r = r * z + 3.999999999940941908e-01;
  r = r * z + 6.666666666666735130e-01;
  r *= z;
  return k * 6.93147180369123816490e-01 -
         ((half - (s * (half + r) + k * 1.90821492927058770002e-10)) - f);
}

// (cosine, sine) of 2 pi v for v in [0, 1)
static inline void turn(double v, double& cosine, double& sine) {
  double shifted = 4.0 * v + WHOLE, x = (4.0 * v - (shifted - WHOLE)) * 1.57079632679489661923;
  uint64_t quarter = bits(shifted);
  double z = x * x;
  double s = 1.58969099521155010221e-10;
  s = s * z - 2.50507602534068634195e-08;
  s = s * z + 2.75573137070700676789e-06;
  s = s * z - 1.98412698298579493134e-04;
  s = s * z + 8.33333333332248946124e-03;
  s = s * z - 1.66666666666666324348e-01;
  s = s * z * x + x;
  double c = -1.13596475577881948265e-11;
  c = c * z + 2.08757232129817482790e-09;
  c = c * z - 2.75573143513906633035e-07;
  c = c * z + 2.48015872894767294178e-05;
  c = c * z - 1.38888888888741095749e-03;
  c = c * z + 4.16666666666666019037e-02;
  c = c * z * z - 0.5 * z + 1.0;
  uint64_t odd = -(quarter & 1);
  uint64_t first = (bits(s) & odd) | (bits(c) & ~odd), second = (bits(c) & odd) | (bits(s) & ~odd);
  cosine = number(first ^ (((quarter + 1) & 2) << 62));
  sine = number(second ^ ((quarter & 2) << 62));
}

// the top 53 bits as a number in [0, 1), exactly
static inline double uniform(uint64_t word) {
  double most = number((word >> 12) | 0x3ff0000000000000ull) - 1.0;
  return most + number(-((word >> 11) & 1) & bits(0x1p-53));
}

// what the uniforms of two words leave over, as a number in (0, 2^-53] in steps of 2^-75
static inline double finer(uint64_t first, uint64_t second) {
  uint64_t left = (first & 2047) << 11 | (second & 2047);
  return (number(left | bits(0x1p52)) - 0x1p52 + 1.0) * 0x1p-75;
}

// result[i] = (round(total[i] * scale) + round(normal_i * deviation)) * factor for i < count.
// Normals i and i + pairs, pairs = ceil(count / 2), come of the random words i and i + pairs.
template <class Real>
static void noised(const uint64_t* words, const double* total, int64_t count, double scale,
                   double deviation, double factor, Real* result) {
  int64_t pairs = (count + 1) / 2, whole = count - pairs;
  auto put = [&](int64_t i, double normal) {
    result[i] = Real((std::rint(total[i] * scale) + std::rint(normal * deviation)) * factor);
  };
  for (int64_t i = 0; i < pairs; i++) {
    // (k + 1) / 2^75, whose logarithm is finite
    double chance = uniform(words[i]) + finer(words[i], words[pairs + i]);
    double radius = std::sqrt(-2.0 * logarithm(chance)), cosine, sine;
    turn(uniform(words[pairs + i]), cosine, sine);
    put(i, radius * cosine);
    if (i < whole) put(pairs + i, radius * sine);
  }
}
