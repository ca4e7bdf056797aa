// The inner loops of a convolution: whole rows of an image at once.
#pragma once

#include "vector.h"

#if defined(__AVX512F__)
constexpr int PIXELS = 14, RUN = 10;  // sums: 14 pixels x 2 vectors; 10 vectors of a line
#else
constexpr int PIXELS = LANES == 8 ? 6 : 4, RUN = 10;
#endif

// Tables of one kernel for each size from 1 on.
template <template <int> class Kernel, size_t... I>
constexpr auto table(std::index_sequence<I...>) {
  return std::array{&Kernel<int(I) + 1>::run...};
}

// y[r] = bias + the products of R neighbouring pixels' inputs with a panel of N vectors
template <int N>
struct Row {
  template <int R>
  struct Kernel {
    static void run(const float* x, size_t pixel, size_t line, int lines, int terms, const float* w,
                    const float* bias, float* y, size_t to) {
      Vector sum[R][N];
      for (int n = 0; n < N; n++) {
        sum[0][n] = load(bias + n * LANES);
        for (int r = 1; r < R; r++) sum[r][n] = sum[0][n];
      }
      const size_t pixel3 = 3 * pixel;
      for (int l = 0; l < lines; l++, x += line) {
        // three pointers with offsets of 0 to 4 pixels: more addresses than that need registers
        const float *first = x, *second = x + 5 * pixel, *third = x + 10 * pixel;
        for (int k = 0; k < terms; k++, w += N * LANES) {
          Vector weight[N];
          for (int n = 0; n < N; n++) weight[n] = load(w + n * LANES);
          for (int r = 0; r < R; r++) {
            const float* p = (r < 5 ? first : r < 10 ? second : third) + k;
            const int q = r % 5;
            Vector input = all(q == 3 ? p[pixel3] : p[q * pixel]);
            for (int n = 0; n < N; n++) sum[r][n] += input * weight[n];
          }
        }
      }
      for (int r = 0; r < R; r++)
        for (int n = 0; n < N; n++) store(y + r * to + n * LANES, sum[r][n]);
    }
  };
};

// g += the inputs at count places, times their slopes, for R vectors of a line
template <int R>
struct Gather {
  static void run(const float* x, const int32_t* at, const float* d, int count, float* g) {
    Vector sum[R];
    for (int r = 0; r < R; r++) sum[r] = load(g + r * LANES);
    for (int t = 0; t < count; t++) {
      Vector slope = all(d[t]);
      for (int r = 0; r < R; r++) sum[r] += slope * load(x + at[t] + r * LANES);
    }
    for (int r = 0; r < R; r++) store(g + r * LANES, sum[r]);
  }
};
// the inputs' slopes dx at count places += w times the places' slopes
template <int R>
struct Scatter {
  static void run(float* dx, const int32_t* at, const float* d, int count, const float* w) {
    Vector weight[R];
    for (int r = 0; r < R; r++) weight[r] = load(w + r * LANES);
    for (int t = 0; t < count; t++) {
      float* to = dx + at[t];
      Vector slope = all(d[t]);
      for (int r = 0; r < R; r++) store(to + r * LANES, load(to + r * LANES) + slope * weight[r]);
    }
  }
};
constexpr auto ROW_WIDE = table<Row<WIDE>::Kernel>(std::make_index_sequence<PIXELS>{});
constexpr auto ROW_ONE = table<Row<1>::Kernel>(std::make_index_sequence<PIXELS>{});
constexpr auto GATHER = table<Gather>(std::make_index_sequence<RUN>{});
constexpr auto SCATTER = table<Scatter>(std::make_index_sequence<RUN>{});
