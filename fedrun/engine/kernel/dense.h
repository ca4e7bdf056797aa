// Products of a batch's rows with the weights of a linear layer, and the weights' update.
//
// - Weights are cut into blocks of BLOCK inputs x PANEL outputs that stay in the first-level cache.
// - No gradient is stored: `w += x^T d` accumulates in registers, d being the scaled slope. Drift,
//   anchor, mu and weight decay make the step affine, `w += shift - rate * w + x^T d`.
// - Activations lie in blocks [BLOCK inputs][rows], so that every address is a constant offset.
#pragma once

#include "vector.h"

// ---- products on one block; x and y have rows of BLOCK floats ----------------------------------

// y[r] += x[r] W for R rows and a panel of N vectors
template <int R, int N>
static void forward(const float* x, const float* w, float* y, int inputs) {
  Vector sum[R][N];
  for (int r = 0; r < R; r++)
    for (int n = 0; n < N; n++) sum[r][n] = load(y + r * BLOCK + n * LANES);
  for (int k = 0; k < inputs; k++) {
    Vector weight[N];
    for (int n = 0; n < N; n++) {
      weight[n] = load(w + (k * N + n) * LANES);
      // the block that comes next; weights of a large layer stand in the third-level cache
      __builtin_prefetch(w + ((inputs + k) * N + n) * LANES, 0, 3);
    }
    for (int r = 0; r < R; r++) {
      Vector input = all(x[r * BLOCK + k]);
      for (int n = 0; n < N; n++) sum[r][n] += input * weight[n];
    }
  }
  for (int r = 0; r < R; r++)
    for (int n = 0; n < N; n++) store(y + r * BLOCK + n * LANES, sum[r][n]);
}

// W += shift - rate * W + x^T d
template <int R, int N, bool AFFINE>
static void update(const float* x, float* w, const float* shift, float rate, const float* d,
                   int inputs) {
  Vector slope[R][N];
  for (int r = 0; r < R; r++)
    for (int n = 0; n < N; n++) slope[r][n] = load(d + r * BLOCK + n * LANES);
  for (int k = 0; k < inputs; k++) {
    Vector sum[N] = {};  // of its own: adding row after row to the weight would round it each time
    for (int r = 0; r < R; r++) {
      Vector input = all(x[r * BLOCK + k]);
      for (int n = 0; n < N; n++) sum[n] += input * slope[r][n];
    }
    for (int n = 0; n < N; n++) {
      Vector weight = load(w + (k * N + n) * LANES);
      if (AFFINE) sum[n] += load(shift + (k * N + n) * LANES) - rate * weight;
      store(w + (k * N + n) * LANES, weight + sum[n]);
    }
  }
}

// ---- where weights and activations lie ---------------------------------------------------------

// Blocks of a matrix [inputs, outputs]: for each BLOCK of inputs, panels of PANEL outputs, then
// single vectors; within a panel [inputs of the block][outputs of the panel].
struct Shape {
  int inputs, outputs, padded;
  Shape(int inputs, int outputs)
      : inputs(inputs), outputs(outputs), padded(round_up(outputs, LANES)) {}
  size_t size() const { return size_t(inputs) * padded; }
  int width(int column) const { return padded - column >= PANEL ? PANEL : LANES; }
  int depth(int block) const { return inputs - block < BLOCK ? inputs - block : BLOCK; }
  size_t offset(int block, int column) const {
    return size_t(block) * padded + size_t(depth(block)) * column;
  }
  template <class F>
  void for_blocks(F f) const {
    for (int block = 0; block < inputs; block += BLOCK)
      for (int column = 0; column < padded; column += width(column)) f(block, column);
  }
};

// from PyTorch's [outputs, inputs], and back
static int real_width(const Shape& s, int column) {
  int width = s.width(column);
  return s.outputs - column < width ? s.outputs - column : width;
}
static void pack(const Shape& s, const float* from, float* to) {
  s.for_blocks([&](int block, int column) {
    transpose(from + size_t(column) * s.inputs + block, s.inputs, to + s.offset(block, column),
              s.width(column), real_width(s, column), s.depth(block));
  });
}
static void unpack(const Shape& s, const float* from, float* to) {
  s.for_blocks([&](int block, int column) {
    transpose(from + s.offset(block, column), s.width(column),
              to + size_t(column) * s.inputs + block, s.inputs, s.depth(block),
              real_width(s, column));
  });
}

// Activations or slopes of a batch: groups of up to ROWS rows; in a group [blocks][ROWS][BLOCK].
struct Rows {
  int blocks;
  Floats data;
  void make(int width, int groups) {
    blocks = (width + BLOCK - 1) / BLOCK;
    data = floats(size_t(groups) * blocks * ROWS * BLOCK);
  }
  float* at(int group, int column) const {
    return data.get() + (size_t(group) * blocks + column / BLOCK) * ROWS * BLOCK + column % BLOCK;
  }
};

// ---- one kernel for each number of rows ---------------------------------------------------------

using Forward = void (*)(const float*, const float*, float*, int);
using Update = void (*)(const float*, float*, const float*, float, const float*, int);
template <int N, size_t... R>
constexpr std::array<Forward, ROWS> forwards(std::index_sequence<R...>) {
  return {forward<int(R) + 1, N>...};
}
template <int N, bool AFFINE, size_t... R>
constexpr std::array<Update, ROWS> updates(std::index_sequence<R...>) {
  return {update<int(R) + 1, N, AFFINE>...};
}
constexpr auto EACH = std::make_index_sequence<ROWS>{};
constexpr auto FORWARD_WIDE = forwards<WIDE>(EACH), FORWARD_ONE = forwards<1>(EACH);
constexpr auto UPDATE_WIDE = updates<WIDE, false>(EACH), UPDATE_ONE = updates<1, false>(EACH);
constexpr auto AFFINE_WIDE = updates<WIDE, true>(EACH), AFFINE_ONE = updates<1, true>(EACH);

// sum[i] += the products of d with row i of a panel of N vectors
template <int N>
static inline void dot(const float* w, const float* d, Vector* sum) {
  for (int n = 0; n < N; n++) {
    Vector slope = load(d + n * LANES);
    for (int i = 0; i < LANES; i++) sum[i] += slope * load(w + (i * N + n) * LANES);
  }
}

// Outputs whose weights are kept in the first-level cache for all rows: those of LANES inputs lie
// 4 * BLOCK * PANEL bytes apart, which is the same place of the cache.
constexpr int SPAN = 8 * PANEL;

// dx[r] = W d[r], 0 where the activation x[r] is 0. Beyond the last input, whatever is read there
// counts for nothing, since activations are 0 there.
static void backward(const Shape& s, const float* w, const Rows& d, const Rows& x, Rows& dx,
                     int group, int rows) {
  Vector unfinished[ROWS][LANES];
  for (int block = 0; block < s.inputs; block += BLOCK)
    for (int k = 0; k < s.depth(block); k += LANES)
      for (int from = 0; from < s.padded; from += SPAN) {
        const int to = s.padded - from > SPAN ? from + SPAN : s.padded;
        for (int r = 0; r < rows; r++) {
          Vector sum[LANES] = {};
          if (from) memcpy(sum, unfinished[r], sizeof sum);
          int column = from;
          for (; to - column >= PANEL; column += PANEL)
            dot<WIDE>(w + s.offset(block, column) + k * PANEL, d.at(group, column) + r * BLOCK,
                      sum);
          for (; column < to; column += LANES)
            dot<1>(w + s.offset(block, column) + k * LANES, d.at(group, column) + r * BLOCK, sum);
          if (to < s.padded) {
            memcpy(unfinished[r], sum, sizeof sum);
            continue;
          }
          Vector active = load(x.at(group, block + k) + r * BLOCK);
          store(dx.at(group, block + k) + r * BLOCK,
                active > 0.0f ? lane_sums<1, LANES>(sum) : Vector{});
        }
      }
}
