// A client's training by steps that hide each example: `fedrun/engine/_private.py` in one pass.
//
// In a linear layer an example's gradient is the outer product of its slope and its input, so its
// norm is known before any gradient is made (`_ghost.py`). Slopes are shortened by it, and then, for
// a few outputs at a time: the sum over the batch, in registers, rounded to the grid; the noise of
// these places; the step. So weights are read and written once, and nothing else is stored.
#pragma once

#include "loss.h"
#include "secret_noise.h"
#include "trained.h"

constexpr int PART = 512;  // rows at once at most
// Rows whose sum may be made in float32: rounding moves the sum of n rows by n^2 2^-24 clip norms at
// most, those of two neighbours by 2^-13 of one. The noise is made for (1 + 2^-9) clip norms, of
// which the grid takes 2^-10 (`_noise.py`).
constexpr int FEW = 32;
constexpr double LONGEST = 1 << 24;  // clip norm in grid steps, of which FEW, with noise, fit int32

// scale: grid steps in 1; deviation: of the noise, in grid steps; 0 is none, and nothing is rounded
struct Hiding {
  double clip, scale, deviation;
};

struct PrivateLayer {
  Trained weight, bias;
  Floats inputs, slopes;  // [rows of a part, ...]
  Room<double> scaled;    // the slopes, each example's shortened and in grid steps
  Floats few;             // the same of FEW rows, in float32
  PrivateLayer(int inputs, int outputs, const int32_t* free)
      : weight(outputs, inputs, free[0]), bias(1, outputs, free[1]) {}
};

struct PrivateClient {
  std::vector<PrivateLayer> layers;
  Loss loss;
  Rule rule;
  Hiding hiding;
  bool simple;                    // a step is the released gradient's alone
  double factor = 0;              // what a step of the grid is in the released gradient
  Room<float> singles;            // sums over a few rows, for STRIPE outputs
  int64_t numbers = 0, most = 0;  // that are trained; that a tile of outputs takes at once

  PrivateClient(int count, const int32_t* sizes, const int32_t* free, Loss loss, Rule rule,
                Hiding hiding, int rows)
      : loss(loss), rule(rule), hiding(hiding),
        simple(!rule.tilted && rule.decay == 0 && rule.momentum == 0) {
    for (int l = 0; l < count; l++) {
      PrivateLayer& q = layers.emplace_back(sizes[l], sizes[l + 1], free + 2 * l);
      q.inputs = floats(size_t(rows) * q.weight.row);
      q.slopes = floats(size_t(rows) * q.bias.row);
      q.few = floats(size_t(FEW) * q.bias.row);
      q.scaled.hold(size_t(rows) * q.bias.row);
      for (Trained* one : {&q.weight, &q.bias}) {
        if (rule.momentum != 0) one->velocity = floats(one->size());
        if (!one->free) continue;
        numbers += one->count();
        int64_t tile = int64_t(one->columns) * (one->rows < STRIPE ? one->rows : STRIPE);
        if (tile > most) most = tile;
      }
    }
  }

  // One client, from its first step to its last. expected: the mean size of its batches.
  void run(const float* x, const void* y, const int64_t* rows, const int64_t* begin,
           const int64_t* end, int64_t steps, const int64_t* stop, double expected,
           const uint8_t* key, Sums& sums) {
    const bool noisy = hiding.deviation != 0;
    factor = 1 / ((noisy ? hiding.scale : 1) * expected);
    Noise noise(key, hiding.deviation, size_t(most));
    for (int64_t t = 0; t < steps; t++) {
      const int64_t* batch = rows + begin[t];
      const int64_t size = end[t] - begin[t];
      noise.left = numbers;
      for (int64_t from = 0; from < size || from == 0; from += PART) {
        const int count = size - from < PART ? int(size - from) : PART;
        gather(x, batch + from, count, stop);
        slopes(y, batch + from, count, sums);
        shorten(count);
        const bool last = from + count == size;
        for (PrivateLayer& q : layers) {
          if (q.weight.free) add_up(q, count, from > 0, last, noise);
          if (q.bias.free) add_up_bias(q, count, from > 0, last, noise);
        }
      }
      sums.seen += double(size);
    }
  }

  void gather(const float* x, const int64_t* batch, int count, const int64_t* stop) {
    const Trained& first = layers[0].weight;
    for (int r = 0; r < count; r++)
      memcpy(&layers[0].inputs[size_t(r) * first.row], x + batch[r] * first.columns,
             size_t(first.columns) * 4);
    // the rows that come next, this client's or another's, come from memory meanwhile
    for (const int64_t* row = batch + count; row < stop && row < batch + 2 * count; row++)
      for (int i = 0; i < first.columns; i += 16)
        __builtin_prefetch(x + *row * first.columns + i, 0, 2);
  }

  // forward and back: the slope of each example's own loss
  void slopes(const void* y, const int64_t* batch, int count, Sums& sums) {
    const int last = int(layers.size()) - 1;
    for (int l = 0; l <= last; l++) {
      PrivateLayer& q = layers[l];
      float* out = l == last ? q.slopes.get() : layers[l + 1].inputs.get();
      forward(q.inputs.get(), q.weight.w.get(), q.weight.row, q.bias.w.get(), out, q.bias.row,
              count, q.weight.rows);
      if (l < last) rectify(out, size_t(count) * q.bias.row);
    }
    PrivateLayer& top = layers[last];
    for (int r = 0; r < count; r++) {
      auto at = [&](int j) { return &top.slopes[size_t(r) * top.bias.row + j]; };
      if (loss.kind == CLASSES) loss.classes(at, static_cast<const int64_t*>(y)[batch[r]], 1, sums);
      if (loss.kind == BINARY) loss.binary(at, static_cast<const int64_t*>(y)[batch[r]], 1, sums);
      if (loss.kind == NUMBER)
        loss.number(at, static_cast<const float*>(y) + batch[r] * loss.outputs, 1, sums);
    }
    for (int l = last; l > 0; l--)
      backward(layers[l].slopes.get(), layers[l].bias.row, layers[l].weight.w.get(),
               layers[l].weight.rows, layers[l].inputs.get(), layers[l - 1].slopes.get(),
               layers[l].weight.row, count);
  }

  // Slopes of examples whose gradient is longer than the clip norm are shortened, and those whose
  // gradient is not finite count as nothing, whatever their inputs hold.
  void shorten(int count) {
    for (int r = 0; r < count; r++) {
      double squares = 0;
      for (const PrivateLayer& q : layers) {
        double size = q.bias.free ? 1 : 0;
        if (q.weight.free)
          size += square_sum(&q.inputs[size_t(r) * q.weight.row], q.weight.columns);
        squares += square_sum(&q.slopes[size_t(r) * q.bias.row], q.bias.columns) * size;
      }
      const double length = std::sqrt(squares);
      double share = length > hiding.clip ? hiding.clip / length : 1;
      if (!std::isfinite(squares)) share = 0;
      if (hiding.deviation != 0) share *= hiding.scale;
      for (PrivateLayer& q : layers) {
        const float* slope = &q.slopes[size_t(r) * q.bias.row];
        double* scaled = q.scaled.data() + size_t(r) * q.bias.row;
        for (int o = 0; o < q.bias.columns; o++) scaled[o] = share != 0 ? share * slope[o] : 0;
        for (int o = 0; r < FEW && o < q.bias.columns; o++)
          q.few[size_t(r) * q.bias.row + o] = float(scaled[o]);
        if (share == 0) memset(&q.inputs[size_t(r) * q.weight.row], 0, size_t(q.weight.row) * 4);
      }
    }
  }

  // The gradient that is released of LANES sums. In steps of the grid they and the noise are whole
  // numbers and are added exactly, so all that is rounded later is a function of the noised sum.
  static Vector released(Vector sums, const int32_t* noise, float factor) {
    const Bits sum = nearest(sums) + loaded_as<Bits>(noise);
    return __builtin_convertvector(sum, Vector) * factor;
  }
  static Vector released(const float* sums, const int32_t* noise, double factor) {
    return released(load(sums), noise, float(factor));
  }
  static Vector released(const double* sums, const int32_t* noise, double factor) {
    Vector result;
    for (int h = 0; h < 2; h++) {
      Doubles sum = loaded_as<Doubles>(sums + h * DOUBLES);
      const auto whole = loaded_as<Wholes>(noise + h * DOUBLES);
      sum = rounded(sum) + __builtin_convertvector(whole, Doubles);
      store_as((float*)&result + h * DOUBLES, __builtin_convertvector(sum * factor, Singles));
    }
    return result;
  }
  template <class Real>
  static Vector released(const Real* sums, double factor) {
    float result[LANES];
    for (int i = 0; i < LANES; i++) result[i] = float(sums[i] * factor);
    return load(result);
  }
  template <class Real>
  void release(Trained& p, int r, const Real* sums, const int32_t* noise) {
    const Step step = p.step(rule, r);
    const double factor = this->factor;
    const int columns = p.columns;
    if (noise)
      for (int k = 0; k < columns; k += LANES) step(k, released(sums + k, noise + k, factor));
    else
      for (int k = 0; k < columns; k += LANES) step(k, released(sums + k, factor));
    p.clear_margin(r);
  }

  void add_up(PrivateLayer& q, int count, bool more, bool last, Noise& noise) {
    Trained& p = q.weight;
    const bool noisy = hiding.deviation != 0;
    const bool whole = last && !more;  // sums are needed no longer than these outputs
    // a slope is no longer than the clip norm where its bias counts, and so fits float32
    const bool few = noisy && whole && count <= FEW && q.bias.free &&
                     hiding.clip * hiding.scale <= LONGEST;
    singles.hold(size_t(STRIPE) * p.row);
    p.sums.hold(whole ? size_t(STRIPE) * p.row : p.size());
    for (int o = 0; o < p.rows; o += STRIPE) {
      const int tall = p.rows - o < STRIPE ? p.rows - o : STRIPE;
      const int32_t* with = last && noisy ? noise.take(size_t(tall) * p.columns) : nullptr;
      const float* x = q.inputs.get();
      double* sums = p.sums.data() + (whole ? 0 : size_t(o) * p.row);
      if (!few && !more) memset(sums, 0, size_t(STRIPE) * p.row * 8);
      const size_t row = p.row, columns = p.columns;
      if (few && simple) {
        const float rate = float(factor), lr = rule.lr;
        float* w = &p.w[o * row];
        products(x, p.row, &q.few[o], q.bias.row, count, [=](int t, int k, Vector sum) {
          if (t >= tall) return;
          float* at = w + t * row + k;
          store(at, load(at) - lr * released(sum, with + t * columns + k, rate));
        });
        for (int t = 0; t < tall; t++) p.clear_margin(o + t);
        continue;
      }
      if (few)
        products(x, p.row, &q.few[o], q.bias.row, count,
                 [=, to = singles.data()](int t, int k, Vector sum) { store(to + t * row + k, sum); });
      else
        products(x, p.row, q.scaled.data() + o, q.bias.row, count, [=](int t, int k, Doubles sum) {
          double* to = sums + t * row + k;
          store_as(to, loaded_as<Doubles>(to) + sum);
        });
      for (int t = 0; last && t < tall; t++) {
        const size_t from = size_t(t) * p.row;
        const int32_t* here = with ? with + size_t(t) * p.columns : nullptr;
        if (few) release(p, o + t, singles.data() + from, here);
        else release(p, o + t, sums + from, here);
      }
    }
  }
  void add_up_bias(PrivateLayer& q, int count, bool more, bool last, Noise& noise) {
    Trained& p = q.bias;
    p.sums.hold(p.row);
    double* sums = p.sums.data();
    for (int o = 0; o < p.row; o += DOUBLES) {
      Doubles sum = more ? loaded_as<Doubles>(sums + o) : Doubles{};
      for (int r = 0; r < count; r++)
        sum += loaded_as<Doubles>(q.scaled.data() + size_t(r) * p.row + o);
      store_as(sums + o, sum);
    }
    const bool noisy = hiding.deviation != 0;
    if (last) release(p, 0, sums, noisy ? noise.take(size_t(p.columns)) : nullptr);
  }
};
