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
    // Sums of their own: adding row after row to the weight would round it each time. Two of them,
    // for half the rows each: every addition waits for the one before it.
    Vector half[2][N] = {};
    for (int r = 0; r < R; r++) {
      Vector input = all(x[r * BLOCK + k]);
      for (int n = 0; n < N; n++) half[r < R / 2][n] += input * slope[r][n];
    }
    for (int n = 0; n < N; n++) {
      Vector weight = load(w + (k * N + n) * LANES), sum = half[0][n] + half[1][n];
      if (AFFINE) sum += load(shift + (k * N + n) * LANES) - rate * weight;
      store(w + (k * N + n) * LANES, weight + sum);
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

constexpr int HALF = LANES / 2;

// sum[i] += the products of d with row i of a panel of N vectors, sum[HALF + i] those of e
template <int N>
static inline void dot(const float* w, const float* d, const float* e, Vector* sum) {
  for (int n = 0; n < N; n++) {
    Vector first = load(d + n * LANES), second = load(e + n * LANES);
    for (int i = 0; i < HALF; i++) {
      Vector weight = loaded(load(w + (i * N + n) * LANES));
      sum[i] += first * weight;
      sum[HALF + i] += second * weight;
    }
  }
}

// The lower halves of two vectors beside each other, or the upper ones.
template <bool UPPER, size_t... I>
static inline Vector halves(Vector a, Vector b, std::index_sequence<I...>) {
  return SHUFFLE(a, b, (int(I) + (int(I) < HALF ? 0 : HALF) + (UPPER ? HALF : 0))...);
}

// Outputs whose weights are kept in the first-level cache for all rows: those of LANES inputs lie
// 4 * BLOCK * PANEL bytes apart, which is the same place of the cache.
constexpr int SPAN = 8 * PANEL;

// dx[r] = W d[r], 0 where the activation x[r] is 0. Beyond the last input, whatever is read there
// counts for nothing, since activations are 0 there. Two rows at a time, HALF inputs after HALF
// inputs: so each weight that is read serves both.
static void backward(const Shape& s, const float* w, const Rows& d, const Rows& x, Rows& dx,
                     int group, int rows) {
  constexpr auto EVERY = std::make_index_sequence<LANES>{};
  Vector unfinished[ROWS + 1][LANES];
  for (int block = 0; block < s.inputs; block += BLOCK)
    for (int k = 0; k < s.depth(block); k += LANES)
      for (int from = 0; from < s.padded; from += SPAN) {
        const int to = s.padded - from > SPAN ? from + SPAN : s.padded;
        for (int r = 0; r < rows; r += 2) {
          const int other = r + 1 < rows ? r + 1 : r;
          Vector products[2];  // of row r and the other with HALF inputs each
          for (int half = 0; half < 2; half++) {
            const int input = k + half * HALF;
            Vector sum[LANES] = {};
            if (from) memcpy(sum, unfinished[r + half], sizeof sum);
            int column = from;
            for (; to - column >= PANEL; column += PANEL)
              dot<WIDE>(w + s.offset(block, column) + input * PANEL,
                        d.at(group, column) + r * BLOCK, d.at(group, column) + other * BLOCK, sum);
            for (; column < to; column += LANES)
              dot<1>(w + s.offset(block, column) + input * LANES, d.at(group, column) + r * BLOCK,
                     d.at(group, column) + other * BLOCK, sum);
            if (to < s.padded) memcpy(unfinished[r + half], sum, sizeof sum);
            else products[half] = lane_sums<1, LANES>(sum);
          }
          if (to < s.padded) continue;
          auto keep = [&](int row, Vector slopes) {
            Vector active = load(x.at(group, block + k) + row * BLOCK);
            store(dx.at(group, block + k) + row * BLOCK, active > 0.0f ? slopes : Vector{});
          };
          keep(other, halves<true>(products[0], products[1], EVERY));
          keep(r, halves<false>(products[0], products[1], EVERY));
        }
      }
}
