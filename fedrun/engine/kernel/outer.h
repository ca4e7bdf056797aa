// Sums of outer products of float32 vectors, in float64: what clipped gradients of linear layers are.
#pragma once

#include "doubles.h"

constexpr int TALL = 6, BROAD = 3 * DOUBLES, DEEP = 64;

// sum[o][i] += d[r][o] x[r][i] over rows r, for TALL or fewer outputs and a block of BROAD inputs;
// x lies in rows of BROAD
template <int T>
static void products(const double* x, const double* d, int rows, size_t outputs, double* sum,
                     size_t inputs, int width) {
  Doubles total[T][3] = {};
  for (int r = 0; r < rows; r++) {
    Doubles input[3];
    memcpy(input, x + r * BROAD, sizeof input);
    for (int o = 0; o < T; o++) {
      Doubles slope = Doubles{} + d[r * outputs + o];
      for (int n = 0; n < 3; n++) total[o][n] += slope * input[n];
    }
  }
  for (int o = 0; o < T; o++) {
    double* to = sum + o * inputs;
    if (width == BROAD) {
      Doubles old[3];
      memcpy(old, to, sizeof old);
      for (int n = 0; n < 3; n++) old[n] += total[o][n];
      memcpy(to, old, sizeof old);
    } else {
      for (int i = 0; i < width; i++) to[i] += total[o][i / DOUBLES][i % DOUBLES];
    }
  }
}

// sum [outputs, inputs] += d^T x over the rows; d [rows, outputs], x [rows, inputs]. Rows whose
// factor is 0 have d = 0, and whatever they hold in x.
static void add_outer(const float* x, const double* d, const double* factors, int64_t rows,
                      int inputs, int outputs, double* sum) {
  alignas(64) double block[DEEP * BROAD];
  for (int64_t from = 0; from < rows; from += DEEP) {
    int deep = rows - from < DEEP ? int(rows - from) : DEEP;
    const double* slopes = d + from * outputs;
    for (int i = 0; i < inputs; i += BROAD) {
      int width = inputs - i < BROAD ? inputs - i : BROAD;
      if (width < BROAD) memset(block, 0, sizeof block);
      for (int r = 0; r < deep; r++) {
        bool counts = factors[from + r] != 0;
        for (int k = 0; k < width; k++)
          block[r * BROAD + k] = counts ? x[(from + r) * inputs + i + k] : 0.0f;
      }
      int o = 0;
      for (; o + TALL <= outputs; o += TALL)
        products<TALL>(block, slopes + o, deep, outputs, sum + size_t(o) * inputs + i, inputs,
                       width);
      for (; o < outputs; o++)
        products<1>(block, slopes + o, deep, outputs, sum + size_t(o) * inputs + i, inputs, width);
    }
  }
}
