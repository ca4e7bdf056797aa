// Vectors of float64 as wide as the machine's, and of whole numbers beside them.
#pragma once

#include "vector.h"
#if defined(__x86_64__)
#include <immintrin.h>
#endif

constexpr int DOUBLES = LANES / 2;
typedef double Doubles __attribute__((vector_size(DOUBLES * 8)));
typedef float Singles __attribute__((vector_size(DOUBLES * 4)));  // as many numbers of float32
typedef int32_t Wholes __attribute__((vector_size(DOUBLES * 4)));   // of int32
typedef uint64_t Words __attribute__((vector_size(DOUBLES * 8)));
typedef int64_t Answers __attribute__((vector_size(DOUBLES * 8)));  // what comparisons give

// Room for numbers that begins where a line of the cache does: a vector then touches one line.
template <class Number>
struct Room {
  Floats held;
  size_t size = 0;
  void hold(size_t count) {  // what was in it is lost where it grows
    if (count <= size) return;
    held = floats(count * sizeof(Number) / 4);
    size = count;
  }
  Number* data() const { return (Number*)(void*)held.get(); }
};

template <class V, class Real>
static inline V loaded_as(const Real* p) {
  V v;
  memcpy(&v, p, sizeof v);
  return v;
}
template <class V, class Real>
static inline void store_as(Real* p, V v) {
  memcpy(p, &v, sizeof v);
}
static inline Doubles widened(const float* p) {
#if defined(__AVX512F__)  // GCC 12 would widen one half after the other
  return (Doubles)_mm512_cvtps_pd((__m256)loaded_as<Singles>(p));
#else
  return __builtin_convertvector(loaded_as<Singles>(p), Doubles);
#endif
}

static inline Words bits(Doubles x) { return (Words)x; }
static inline Doubles number(Words b) { return (Doubles)b; }

#if defined(__AVX512F__)
static inline Doubles root(Doubles x) { return (Doubles)_mm512_sqrt_pd((__m512d)x); }
static inline Wholes nearest(Doubles x) { return (Wholes)_mm512_cvtpd_epi32((__m512d)x); }
static inline Bits nearest(Vector x) { return (Bits)_mm512_cvtps_epi32((__m512)x); }
static inline Doubles rounded(Doubles x) { return (Doubles)_mm512_roundscale_pd((__m512d)x, 0); }
#elif defined(__AVX__)
static inline Doubles root(Doubles x) { return (Doubles)_mm256_sqrt_pd((__m256d)x); }
static inline Wholes nearest(Doubles x) { return (Wholes)_mm256_cvtpd_epi32((__m256d)x); }
static inline Bits nearest(Vector x) { return (Bits)_mm256_cvtps_epi32((__m256)x); }
static inline Doubles rounded(Doubles x) { return (Doubles)_mm256_round_pd((__m256d)x, 0); }
#else
static inline Doubles root(Doubles x) {
  for (int i = 0; i < DOUBLES; i++) x[i] = std::sqrt(x[i]);
  return x;
}
static inline Doubles rounded(Doubles x) {
  for (int i = 0; i < DOUBLES; i++) x[i] = std::rint(x[i]);
  return x;
}
static inline Wholes nearest(Doubles x) { return __builtin_convertvector(rounded(x), Wholes); }
static inline Bits nearest(Vector x) {
  for (int i = 0; i < LANES; i++) x[i] = std::rint(x[i]);
  return __builtin_convertvector(x, Bits);
}
#endif

// whole numbers as float64, rounded once
static inline Doubles real(Words w) {
#if defined(__x86_64__) && !defined(__AVX512DQ__)
  Doubles high = number((w >> 32) | bits(Doubles{} + 0x1p84));
  Doubles low = number((w & 0xffffffffull) | bits(Doubles{} + 0x1p52));
  return (high - (0x1p84 + 0x1p52)) + low;
#else
  return __builtin_convertvector(w, Doubles);
#endif
}

static inline double square_sum(const float* x, int count) {
  double sum[16] = {};
  int i = 0;
  for (; i + 16 <= count; i += 16)
    for (int k = 0; k < 16; k++) sum[k] += double(x[i + k]) * x[i + k];
  for (; i < count; i++) sum[0] += double(x[i]) * x[i];
  for (int k = 1; k < 16; k++) sum[0] += sum[k];
  return sum[0];
}
