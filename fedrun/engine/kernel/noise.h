// Rounded Gaussian noise on a sum that stands on a grid (`fedrun/engine/_noise.py`), in float64.
// Normals by Box and Muller; the polynomials of logarithm, sine and cosine are those of FreeBSD's
// libm (fdlibm), without branches and without its last corrections: to about 2 units in the last
// place. Several vectors take each operation side by side, as every one waits for the one before.
#pragma once

#include "doubles.h"

constexpr int ABREAST = LANES == 16 ? 4 : 2;  // vectors; four fill the 32 registers
constexpr int NOISE_BLOCK = 8192;  // numbers whose pairs stay together, as in `Stream.normal`
#define EACH for (int n = 0; n < N; n++)

static inline void store_rounded(double* to, Doubles x) { store_as(to, rounded(x)); }
static inline void store_rounded(int32_t* to, Doubles x) { store_as(to, nearest(x)); }

// The rounded normals of N vectors of words for radii, and N for angles, with this deviation: those
// along the cosine, and those along the sine, as double or int32_t.
template <int N, class Whole>
static inline void normals(const uint64_t* radii, const uint64_t* angles, double deviation,
                           Whole* first, Whole* second) {
  constexpr uint64_t TOP = 1ull << 63, ONE = 0x3ff0000000000000, LEAST = 0x3fe6a09e667f3bcd;
  constexpr double WHOLE = 0x1p52, HALF_PI = 1.57079632679489661923;
  const double scale = -2.0 * deviation * deviation;
  Words a[N], b[N];
  memcpy(a, radii, sizeof a);
  memcpy(b, angles, sizeof b);
  Doubles u[N], k[N], m[N], q[N], z[N], r[N], x[N], y[N], s[N], c[N];
  // u is the chance of a longer radius, (k + 1) / 2^75, whose logarithm is finite: 64 bits of one
  // word, and the 11 bits of the other that its angle leaves over. x is the angle, the top 53 bits
  // of a word as part of a turn, beyond the nearest quarter.
  EACH u[n] = real(a[n]) * 0x1p-64 + (real(b[n] & 2047) * 0x1p-75 + 0x1p-75);
  EACH x[n] = real(((b[n] << 2) & ~8191ull) ^ TOP) * (HALF_PI * 0x1p-64) - HALF_PI / 2;
  EACH y[n] = x[n] * x[n];
  // ln u = k ln 2 + ln m with m in [sqrt(1/2), sqrt(2)), and that by q = (m - 1) / (m + 1)
  EACH {
    Words shifted = bits(u[n]) + (ONE - LEAST);
    k[n] = number((shifted >> 52) | bits(Doubles{} + WHOLE)) - (WHOLE + 1023.0);
    m[n] = number((shifted & 0x000fffffffffffffull) + LEAST);
  }
  EACH q[n] = (m[n] - 1.0) / (m[n] + 1.0);
  EACH s[n] = y[n] * 1.58969099521155010221e-10 - 2.50507602534068634195e-08;
  EACH c[n] = y[n] * -1.13596475577881948265e-11 + 2.08757232129817482790e-09;
  EACH z[n] = q[n] * q[n];
  EACH s[n] = s[n] * y[n] + 2.75573137070700676789e-06;
  EACH c[n] = c[n] * y[n] - 2.75573143513906633035e-07;
  EACH r[n] = z[n] * 1.479819860511658591e-01 + 1.531383769920937332e-01;
  EACH s[n] = s[n] * y[n] - 1.98412698298579493134e-04;
  EACH c[n] = c[n] * y[n] + 2.48015872894767294178e-05;
  EACH r[n] = r[n] * z[n] + 1.818357216161805012e-01;
  EACH s[n] = s[n] * y[n] + 8.33333333332248946124e-03;
  EACH c[n] = c[n] * y[n] - 1.38888888888741095749e-03;
  EACH r[n] = r[n] * z[n] + 2.222219843214978396e-01;
  EACH s[n] = s[n] * y[n] - 1.66666666666666324348e-01;
  EACH c[n] = c[n] * y[n] + 4.16666666666666019037e-02;
  EACH r[n] = r[n] * z[n] + 2.857142874366239149e-01;
  EACH s[n] = s[n] * y[n] * x[n] + x[n];
  EACH c[n] = c[n] * y[n] - 0.5;
  EACH r[n] = r[n] * z[n] + 3.999999999940941908e-01;
  EACH c[n] = c[n] * y[n] + 1.0;
  EACH r[n] = r[n] * z[n] + 6.666666666666735130e-01;
  EACH r[n] = r[n] * z[n] + 2.0;
  EACH r[n] = root(scale * (k[n] * 6.93147180559945309417e-01 + r[n] * q[n]));
  EACH {
    Words quarter = b[n] + (1ull << 61);  // in its two top bits
    Answers odd = (quarter & (1ull << 62)) != 0;
    Doubles cosine = odd ? s[n] : c[n], sine = odd ? c[n] : s[n];
    cosine = number(bits(cosine) ^ ((quarter + (1ull << 62)) & TOP));
    sine = number(bits(sine) ^ (quarter & TOP));
    store_rounded(first + n * DOUBLES, cosine * r[n]);
    store_rounded(second + n * DOUBLES, sine * r[n]);
  }
}
#undef EACH

// those of so many pairs of words
template <class Whole>
static void rounded_normals(const uint64_t* radii, const uint64_t* angles, int pairs,
                            double deviation, Whole* first, Whole* second) {
  int j = 0;
  for (; j + ABREAST * DOUBLES <= pairs; j += ABREAST * DOUBLES)
    normals<ABREAST>(radii + j, angles + j, deviation, first + j, second + j);
  for (int width; j < pairs; j += width) {
    width = pairs - j < DOUBLES ? pairs - j : DOUBLES;
    uint64_t words[2][DOUBLES] = {};
    Whole made[2][DOUBLES];
    memcpy(words[0], radii + j, width * 8);
    memcpy(words[1], angles + j, width * 8);
    normals<1>(words[0], words[1], deviation, made[0], made[1]);
    memcpy(first + j, made[0], width * sizeof(Whole));
    memcpy(second + j, made[1], width * sizeof(Whole));
  }
}

// result[i] = (round(total[i] * scale) + round(normal_i * deviation)) * factor for i < count, with
// the normals that `Stream.normal` makes of these words
template <class Real>
static void noised(const uint64_t* words, const double* total, int64_t count, double scale,
                   double deviation, double factor, Real* result) {
  alignas(64) double made[NOISE_BLOCK];
  for (int64_t from = 0; from < count; from += NOISE_BLOCK) {
    int size = count - from < NOISE_BLOCK ? int(count - from) : NOISE_BLOCK, pairs = (size + 1) / 2;
    rounded_normals(words + from, words + from + pairs, pairs, deviation, made, made + pairs);
    for (int i = 0; i < size; i++)
      result[from + i] = Real((std::rint(total[from + i] * scale) + made[i]) * factor);
  }
}
