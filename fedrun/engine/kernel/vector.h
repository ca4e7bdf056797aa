// Vectors as wide as the machine's, in GCC's and Clang's portable type, and what works on several.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <array>
#include <memory>
#include <new>
#include <utility>
#include <vector>
#if defined(__AVX512F__)
#include <immintrin.h>
#endif

#if defined(__AVX512F__)
constexpr int LANES = 16, WIDE = 2, ROWS = 10;  // 32 registers: 20 sums, 2 weights, 1 input
#elif defined(__AVX__)
constexpr int LANES = 8, WIDE = 2, ROWS = 6;  // 16 registers
#else
constexpr int LANES = 4, WIDE = 4, ROWS = 4;  // NEON has 32 registers
#endif
constexpr int PANEL = LANES * WIDE;  // outputs of a block
constexpr int BLOCK = 128;           // inputs of a block; a multiple of PANEL

typedef float Vector __attribute__((vector_size(LANES * 4)));
typedef int32_t Bits __attribute__((vector_size(LANES * 4)));

static inline Vector load(const float* p) {
  Vector v;
  memcpy(&v, p, sizeof v);
  return v;
}
static inline void store(float* p, Vector v) { memcpy(p, &v, sizeof v); }
// the first lanes only
static inline void store_part(float* p, Vector v, int count) {
  if (count >= LANES) return store(p, v);
#if defined(__AVX512F__)
  _mm512_mask_storeu_ps(p, __mmask16((1u << count) - 1), (__m512)v);
#else
  memcpy(p, &v, size_t(count) * 4);
#endif
}
static inline Vector all(float x) { return Vector{} + x; }
// In a register from here on: GCC would read a value from memory once for each use of it.
static inline Vector loaded(Vector v) {
#if defined(__x86_64__)
  asm("" : "+v"(v));
#endif
  return v;
}
static inline int round_up(int n, int step) { return (n + step - 1) / step * step; }

struct Free {
  void operator()(float* p) const { free(p); }
};
using Floats = std::unique_ptr<float[], Free>;
static Floats floats(size_t count) {
  size_t bytes = (count * 4 + 63) / 64 * 64 + 4 * LANES * PANEL;  // `backward` reads ahead
  void* p = nullptr;
  if (posix_memalign(&p, 64, bytes)) throw std::bad_alloc();
  memset(p, 0, bytes);
  return Floats(static_cast<float*>(p));
}

// ---- sums over the lanes of several vectors at once ---------------------------------------------

// Lanes of a where `from` is below the number of lanes, of b beyond.
#if defined(__clang__) || __GNUC__ >= 12
#define SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define SHUFFLE(a, b, ...) __builtin_shuffle(a, b, Whole<decltype(a)>{__VA_ARGS__})
template <class V>
using Whole = int32_t __attribute__((vector_size(sizeof(V))));
#endif

template <int H, size_t... I>
static inline Vector fold(Vector a, Vector b, std::index_sequence<I...>) {
  constexpr int L = LANES;
  return SHUFFLE(a, b, (int(I) & H ? L + int(I) : int(I))...) +
         SHUFFLE(a, b, (int(I) & H ? L + (int(I) ^ H) : int(I) ^ H)...);
}

// lane r of the result is the sum over the lanes of v[r]; overwrites v[0 .. COUNT)
template <int H, int COUNT>
static inline Vector lane_sums(Vector* v) {
  if constexpr (H == LANES) {
    return v[0];
  } else {
    constexpr int HALF = (COUNT + 1) / 2;
    for (int i = 0; i < HALF; i++)
      v[i] = fold<H>(v[2 * i], 2 * i + 1 < COUNT ? v[2 * i + 1] : v[2 * i],
                     std::make_index_sequence<LANES>{});
    return lane_sums<2 * H, HALF>(v);
  }
}

// ---- transposition -----------------------------------------------------------------------------

// Eight by eight floats, rows `from_row` and `to_row` apart, transposed.
typedef float Eight __attribute__((vector_size(32)));
template <int H, size_t... I>
static inline void exchange(Eight& a, Eight& b, std::index_sequence<I...>) {
  Eight low = SHUFFLE(a, b, (int(I) & H ? 8 + (int(I) ^ H) : int(I))...);
  b = SHUFFLE(a, b, (int(I) & H ? 8 + int(I) : int(I) ^ H)...);
  a = low;
}
static inline void transpose(const float* from, size_t from_row, float* to, size_t to_row) {
  constexpr auto LANE = std::make_index_sequence<8>{};
  Eight v[8];
  for (int i = 0; i < 8; i++) memcpy(&v[i], from + i * from_row, 32);
  for (int i = 0; i < 8; i += 2) exchange<1>(v[i], v[i + 1], LANE);
  for (int i : {0, 1, 4, 5}) exchange<2>(v[i], v[i + 2], LANE);
  for (int i = 0; i < 4; i++) exchange<4>(v[i], v[i + 4], LANE);
  for (int i = 0; i < 8; i++) memcpy(to + i * to_row, &v[i], 32);
}
// to[k * to_row + j] = from[j * from_row + k]
static void transpose(const float* from, size_t from_row, float* to, size_t to_row, int rows,
                      int columns) {
  for (int j = 0; j < rows; j += 8)
    for (int k = 0; k < columns; k += 8) {
      if (j + 8 <= rows && k + 8 <= columns) {
        transpose(from + j * from_row + k, from_row, to + k * to_row + j, to_row);
        continue;
      }
      for (int a = j; a < j + 8 && a < rows; a++)
        for (int b = k; b < k + 8 && b < columns; b++) to[b * to_row + a] = from[a * from_row + b];
    }
}
