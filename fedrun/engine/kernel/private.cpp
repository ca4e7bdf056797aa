// The parts of a step that hides each example (`fedrun/engine/_private_kernel.py`).

#include "noise.h"
#include "outer.h"

extern "C" {

void fedrun_noise_single(const uint64_t* words, const double* total, int64_t count, double scale,
                         double deviation, double factor, float* result) {
  noised(words, total, count, scale, deviation, factor, result);
}
void fedrun_noise_double(const uint64_t* words, const double* total, int64_t count, double scale,
                         double deviation, double factor, double* result) {
  noised(words, total, count, scale, deviation, factor, result);
}

// squares[r] += the squared norm of the gradient of a linear layer's weight, and of its bias, by
// example r alone, of input x[r] and slope d[r]
void fedrun_add_squares(const float* x, const float* d, int64_t rows, int32_t inputs,
                        int32_t outputs, int32_t weight, int32_t bias, double* squares) {
  for (int64_t r = 0; r < rows; r++) {
    double size = bias ? 1 : 0;
    if (weight) size += square_sum(x + r * inputs, inputs);
    squares[r] += square_sum(d + r * outputs, outputs) * size;
  }
}

// weight [outputs, inputs] and bias [outputs] (either may be null) += the gradients of the rows,
// each times its factor; rows whose factor is 0 count as nothing, whatever they hold. `space` is
// for [rows, outputs] numbers.
void fedrun_add_gradients(const float* x, const float* d, const double* factors, int64_t rows,
                          int32_t inputs, int32_t outputs, double* space, double* weight,
                          double* bias) {
  for (int64_t r = 0; r < rows; r++) {
    double* slopes = space + r * outputs;
    for (int o = 0; o < outputs; o++)
      slopes[o] = factors[r] != 0 ? factors[r] * d[r * outputs + o] : 0;
    for (int o = 0; bias && o < outputs; o++) bias[o] += slopes[o];
  }
  if (weight) add_outer(x, space, factors, rows, inputs, outputs, weight);
}
}
