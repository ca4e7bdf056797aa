// A tensor as PyTorch has it, with what its steps need.
#pragma once

#include "padded.h"
#include "parameters.h"

// How a row of numbers takes a step, LANES of them from k on, by the gradient of the loss. All by
// value: so nothing is read again for each of them.
struct Step {
  Rule rule;
  float *w, *velocity;  // velocity, drift, anchor: null where there is none
  const float *drift, *anchor;

  void operator()(int k, Vector g) const {
    const Vector weight = load(w + k);
    if (drift) g += load(drift + k);
    if (anchor) g += rule.pull * (weight - load(anchor + k));
    if (rule.decay != 0) g += rule.decay * weight;
    if (velocity) {
      g += rule.momentum * load(velocity + k);
      store(velocity + k, g);
    }
    store(w + k, weight - rule.lr * g);
  }
};

// A weight [rows, columns], or a bias, of one row, and what its step needs.
struct Trained {
  int rows, columns, row;
  bool free;  // whether it is trained at all
  Floats w, velocity, drift, anchor;
  Room<double> sums;  // of parts of a batch that is cut

  Trained(int rows, int columns, bool free)
      : rows(rows), columns(columns), row(padded(columns)), free(free) {
    w = floats(size());
  }
  size_t size() const { return size_t(round_up(rows, STRIPE)) * row; }
  size_t count() const { return size_t(rows) * columns; }
  void read(const float* from, Floats& to) const {
    if (from && !to) to = floats(size());
    for (int r = 0; from && r < rows; r++)
      memcpy(&to[size_t(r) * row], from + size_t(r) * columns, size_t(columns) * 4);
  }
  void write(float* to) const {
    for (int r = 0; r < rows; r++)
      memcpy(to + size_t(r) * columns, &w[size_t(r) * row], size_t(columns) * 4);
  }
  Step step(const Rule& rule, int r) const {
    auto from = [&](const Floats& f) { return f ? f.get() + size_t(r) * row : nullptr; };
    return {rule, from(w), from(velocity), from(drift), from(anchor)};
  }
  // steps take what lies beyond the columns along
  void clear_margin(int r) { memset(&w[size_t(r) * row + columns], 0, size_t(row - columns) * 4); }
};
