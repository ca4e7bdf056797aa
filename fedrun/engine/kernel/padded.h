// Products of a batch's rows with a linear layer that lies as PyTorch has it, [outputs, inputs]: so
// a step that is noised number by number walks through weights, sums and noise in one order.
#pragma once

#include "doubles.h"

// Rows are as long as whole vectors, what lies beyond the real numbers is 0; and no power of two,
// as the same place of many rows would then be one place of the cache.
static inline int padded(int columns) {
  int stride = round_up(columns, LANES);
  return stride % 256 ? stride : stride + LANES;
}

// rows and outputs of a tile: so many sums as a vector has lanes
constexpr int SIDE = LANES == 4 ? 2 : 4, OUTPUTS = LANES / SIDE;

// y[r][o] = bias[o] + x[r] w[o] for R rows and OUTPUTS outputs
template <int R>
static void scores(const float* x, const float* w, int row, const float* bias, float* y,
                   int y_row) {
  Vector sum[R * OUTPUTS] = {};
  for (int k = 0; k < row; k += LANES) {
    Vector weight[OUTPUTS];
    for (int o = 0; o < OUTPUTS; o++) weight[o] = loaded(load(w + size_t(o) * row + k));
    for (int r = 0; r < R; r++) {
      Vector input = loaded(load(x + size_t(r) * row + k));
      for (int o = 0; o < OUTPUTS; o++) sum[r * OUTPUTS + o] += input * weight[o];
    }
  }
  Vector done = lane_sums<1, R * OUTPUTS>(sum);
  for (int r = 0; r < R; r++)
    for (int o = 0; o < OUTPUTS; o++) y[size_t(r) * y_row + o] = done[r * OUTPUTS + o] + bias[o];
}

// dx[r] = d[r] w for R rows and N vectors of inputs, 0 where the activation x[r] is 0
template <int R, int N>
static void slopes_below(const float* d, int d_row, const float* w, int outputs, const float* x,
                         float* dx, int row) {
  Vector sum[R][N] = {};
  for (int o = 0; o < outputs; o++) {
    Vector weight[N];
    for (int n = 0; n < N; n++) weight[n] = loaded(load(w + size_t(o) * row + n * LANES));
    for (int r = 0; r < R; r++) {
      Vector slope = all(d[size_t(r) * d_row + o]);
      for (int n = 0; n < N; n++) sum[r][n] += slope * weight[n];
    }
  }
  for (int r = 0; r < R; r++)
    for (int n = 0; n < N; n++) {
      size_t at = size_t(r) * row + n * LANES;
      store(dx + at, load(x + at) > 0.0f ? sum[r][n] : Vector{});
    }
}

// put(o, i, sum) of the products d^T x over the rows, for each of STRIPE outputs o and each vector of
// inputs from i on: of float64 where the slopes d are, or of float32. x is read up to its padding.
constexpr int STRIPE = LANES == 16 ? 8 : 4, VECTORS = LANES == 16 ? 2 : 3;
static inline Doubles inputs_as(const float* x, const double*) { return widened(x); }
static inline Vector inputs_as(const float* x, const float*) { return loaded(load(x)); }

template <int N, class Real, class Put>
static inline void products(const float* x, int row, const Real* d, int d_row, int rows, Put put) {
  typedef decltype(inputs_as(x, d)) V;
  constexpr int WIDTH = sizeof(V) / sizeof(Real);
  V sum[STRIPE][N] = {};
  for (int r = 0; r < rows; r++, x += row, d += d_row) {
    V input[N];
    for (int n = 0; n < N; n++) input[n] = inputs_as(x + n * WIDTH, d);
    for (int o = 0; o < STRIPE; o++) {
      const V slope = V{} + d[o];
      for (int n = 0; n < N; n++) sum[o][n] += slope * input[n];
    }
  }
#pragma GCC unroll 8
  for (int o = 0; o < STRIPE; o++)
    for (int n = 0; n < N; n++) put(o, n * WIDTH, sum[o][n]);
}
template <class Real, class Put>
static inline void products(const float* x, int row, const Real* d, int d_row, int rows, Put put) {
  constexpr int WIDTH = sizeof(inputs_as(x, d)) / sizeof(Real);
  int i = 0;
  auto place = [&](int o, int k, auto sum) { put(o, i + k, sum); };
  for (; i + VECTORS * WIDTH <= row; i += VECTORS * WIDTH)
    products<VECTORS>(x + i, row, d, d_row, rows, place);
  for (; i < row; i += WIDTH) products<1>(x + i, row, d, d_row, rows, place);
}

using Scores = void (*)(const float*, const float*, int, const float*, float*, int);
using Below = void (*)(const float*, int, const float*, int, const float*, float*, int);
template <size_t... R>
constexpr std::array<Scores, SIDE> all_scores(std::index_sequence<R...>) {
  return {scores<int(R) + 1>...};
}
template <int N, size_t... R>
constexpr std::array<Below, ROWS> all_below(std::index_sequence<R...>) {
  return {slopes_below<int(R) + 1, N>...};
}
constexpr auto SCORES = all_scores(std::make_index_sequence<SIDE>{});
constexpr auto BELOW_WIDE = all_below<WIDE>(std::make_index_sequence<ROWS>{});
constexpr auto BELOW_ONE = all_below<1>(std::make_index_sequence<ROWS>{});

// y [rows, outputs] = x w^T + bias, both with whole tiles of outputs
static void forward(const float* x, const float* w, int row, const float* bias, float* y, int y_row,
                    int rows, int outputs) {
  for (int o = 0; o < outputs; o += OUTPUTS)
    for (int r = 0, size, parts = (rows + SIDE - 1) / SIDE; parts > 0; r += size, parts--) {
      size = (rows - r + parts - 1) / parts;  // as equal as can be: sums must be many to be fast
      SCORES[size - 1](x + size_t(r) * row, w + size_t(o) * row, row, bias + o,
                       y + size_t(r) * y_row + o, y_row);
    }
}
static void backward(const float* d, int d_row, const float* w, int outputs, const float* x,
                     float* dx, int row, int rows) {
  for (int r = 0; r < rows; r += ROWS) {
    int count = rows - r < ROWS ? rows - r : ROWS;
    for (int i = 0, width; i < row; i += width) {
      width = row - i < PANEL ? LANES : PANEL;
      const auto& table = width == PANEL ? BELOW_WIDE : BELOW_ONE;
      size_t at = size_t(r) * row + i;
      table[count - 1](d + size_t(r) * d_row, d_row, w + i, outputs, x + at, dx + at, row);
    }
  }
}
static void rectify(float* x, size_t count) {
  for (size_t i = 0; i < count; i += LANES) {
    Vector z = load(x + i);
    store(x + i, z <= 0.0f ? Vector{} : z);
  }
}
