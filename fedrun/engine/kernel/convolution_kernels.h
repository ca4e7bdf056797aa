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

// g += the inputs at count places, times their slopes, for R vectors of each of L lines; those of a
// line lie `line` apart in x and `run` in g
template <int R, int L>
struct Gather {
  static void run(const float* x, size_t line, const int32_t* at, const float* d, int count,
                  float* g, size_t run) {
    Vector sum[L][R];
    for (int l = 0; l < L; l++)
      for (int r = 0; r < R; r++) sum[l][r] = load(g + l * run + r * LANES);
    for (int t = 0; t < count; t++) {
      const float* from = x + at[t];
      Vector slope = all(d[t]);
      for (int l = 0; l < L; l++)
        for (int r = 0; r < R; r++) sum[l][r] += slope * load(from + l * line + r * LANES);
    }
    for (int l = 0; l < L; l++)
      for (int r = 0; r < R; r++) store(g + l * run + r * LANES, sum[l][r]);
  }
};
// The inputs' slopes dx at count places += w times the places' slopes. Neighbouring places overlap,
// and what was just written is slow to read: so the lines of one place come before the next place.
template <int R, int L>
struct Scatter {
  static void run(float* dx, size_t line, const int32_t* at, const float* d, int count,
                  const float* w, size_t run) {
    Vector weight[L][R];
    for (int l = 0; l < L; l++)
      for (int r = 0; r < R; r++) weight[l][r] = load(w + l * run + r * LANES);
    for (int t = 0; t < count; t++) {
      float* to = dx + at[t];
      Vector slope = all(d[t]);
      for (int l = 0; l < L; l++)
        for (int r = 0; r < R; r++) {
          float* place = to + l * line + r * LANES;
          store(place, load(place) + slope * weight[l][r]);
        }
    }
  }
};
// [vectors of a line - 1][lines - 1]; at most RUN vectors together
template <template <int, int> class Kernel, int R, size_t... I>
constexpr auto by_lines(std::index_sequence<I...>) {
  return std::array{&Kernel<R, int(I) + 1 < RUN / R ? int(I) + 1 : RUN / R>::run...};
}
template <template <int, int> class Kernel, size_t... I>
constexpr auto by_vectors(std::index_sequence<I...> each) {
  return std::array{by_lines<Kernel, int(I) + 1>(each)...};
}
constexpr auto ROW_WIDE = table<Row<WIDE>::Kernel>(std::make_index_sequence<PIXELS>{});
constexpr auto ROW_ONE = table<Row<1>::Kernel>(std::make_index_sequence<PIXELS>{});
constexpr auto GATHER = by_vectors<Gather>(std::make_index_sequence<RUN>{});
constexpr auto SCATTER = by_vectors<Scatter>(std::make_index_sequence<RUN>{});
