// The losses and their slopes.
#pragma once

#include "dense.h"

// e^x for x <= 0, to about 2 units in the last place; NaN stays NaN
static inline Vector exponential(Vector x) {
  x = x < -87.0f ? all(-87.0f) : x;
  Vector whole = x * 1.44269504f;
  Bits n = __builtin_convertvector(whole - 0.5f, Bits);  // towards zero: whole is not positive
  Vector f = __builtin_convertvector(n, Vector);
  Vector r = x - f * 0.693359375f + f * 2.12194440e-4f;
  Vector p = all(1.9875691500e-4f);
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  Bits scale = (n + 127) << 23;
  Vector power;
  memcpy(&power, &scale, sizeof power);
  return p * power;
}

enum Kind { CLASSES, BINARY, NUMBER };
struct Sums {
  double loss = 0, correct = 0, seen = 0;
};

// The outputs z of one example become the slope of its loss times `scale`.
// Columns of z beyond `outputs` are 0 and stay 0. Rows of z are contiguous up to BLOCK columns.
struct Loss {
  Kind kind;
  int outputs, padded;

  void classes(const Rows& z, int group, int r, int64_t y, float scale, Sums& sums) const {
    auto at = [&](int j) { return z.at(group, j) + r * BLOCK; };
    float largest = *at(0);
    int best = 0;
    for (int j = 1; j < outputs; j++)
      if (*at(j) > largest) largest = *at(j), best = j;
    float target = *at(int(y)) - largest, total = 0;
    for (int j = 0; j < padded; j += LANES) {
      Vector e = exponential(load(at(j)) - largest);
      for (int i = 0; i < LANES; i++)
        if (j + i < outputs) total += e[i];
        else e[i] = 0;
      store(at(j), e);
    }
    for (int j = 0; j < padded; j += LANES) store(at(j), load(at(j)) * (scale / total));
    *at(int(y)) -= scale;
    sums.loss += logf(total) - target;
    sums.correct += best == y;
  }
  void binary(const Rows& z, int group, int r, int64_t y, float scale, Sums& sums) const {
    float* o = z.at(group, 0) + r * BLOCK;
    float logit = *o, e = expf(-fabsf(logit));
    sums.loss += (logit > 0 ? logit : 0) - logit * y + log1pf(e);
    sums.correct += (logit > 0) == (y == 1);
    *o = ((logit >= 0 ? 1 : e) / (1 + e) - y) * scale;
  }
  void number(const Rows& z, int group, int r, const float* y, float scale, Sums& sums) const {
    float total = 0;
    for (int j = 0; j < outputs; j++) {
      float* o = z.at(group, j) + r * BLOCK;
      float error = *o - y[j];
      total += error * error;
      *o = error * (2 * scale / outputs);
    }
    sums.loss += total / outputs;
  }
};
