// Embedding, LSTM layers and a linear layer, at every position or at the last: a step of training.
//
// Rows stand time by time, and in a time example by example. What times do not wait for each other
// for (an LSTM layer's products with its inputs, all gradients of weights) is one product of all
// times; the others are a product for each.
#pragma once

#include "cells.h"
#include "loss.h"
#include "tensor.h"

struct Lstm {
  int units;  // in whole panels
  Tensor from_input, from_before, bias_input, bias_before;
  Panels gates, cells, outputs, slopes;  // slopes: of the outputs
  Lstm(int inputs, int hidden, int rows, const Rule& rule)
      : units(round_up(hidden, PANEL)),
        from_input(4, hidden, inputs, round_up(inputs, PANEL), rule),
        from_before(4, hidden, hidden, units, rule), bias_input(4, hidden, 1, 1, rule),
        bias_before(4, hidden, 1, 1, rule) {
    gates.make(rows, 4 * units);
    for (Panels* one : {&cells, &outputs, &slopes}) one->make(rows, units);
  }
};

struct Recurrent {
  int width, times, outputs, batch;  // width: of an embedding; batch: the largest
  bool every;
  Rule rule;
  Tensor embedding;  // one row after the other
  std::vector<Lstm> layers;
  Tensor weight, bias;
  Panels embedded, embedded_slopes, scores, carried;
  Floats turned;  // a weight, transposed
  Sums sums;

  Recurrent(int symbols, int width, int hidden, int depth, int outputs, int times, bool every,
            int batch, const Rule& rule)
      : width(width), times(times), outputs(outputs), batch(batch), every(every), rule(rule),
        embedding(1, symbols * width, 1, 1, rule),
        weight(1, outputs, hidden, round_up(hidden, PANEL), rule), bias(1, outputs, 1, 1, rule) {
    const int rows = times * batch;
    for (int l = 0; l < depth; l++) layers.emplace_back(l ? hidden : width, hidden, rows, rule);
    embedded.make(rows, width), embedded_slopes.make(rows, width);
    scores.make(rows, outputs), carried.make(batch, hidden);
    size_t largest = weight.own.size;
    for (const Lstm& q : layers)
      for (const Tensor* one : {&q.from_input, &q.from_before})
        if (one->own.size > largest) largest = one->own.size;
    turned = floats(largest);
  }
  // in PyTorch's order
  std::vector<Tensor*> tensors() {
    std::vector<Tensor*> all{&embedding};
    for (Lstm& q : layers)
      all.insert(all.end(), {&q.from_input, &q.from_before, &q.bias_input, &q.bias_before});
    all.insert(all.end(), {&weight, &bias});
    return all;
  }
  int first_answer(int size) const { return every ? 0 : (times - 1) * size; }
  int answers(int size) const { return every ? times * size : size; }

  // x, y: all examples' symbols and targets; rows: the batch's examples
  void step(const int64_t* x, const int64_t* y, const int64_t* rows, int size) {
    forward(x, rows, size);
    judge(y, rows, size);
    for (size_t l = layers.size(); l-- > 0;)
      backward(layers[l], l ? layers[l - 1].outputs : embedded,
               l ? layers[l - 1].slopes : embedded_slopes, size, l + 1 == layers.size());
    write(x, rows, size);
    float factor = 1;
    if (rule.clip != 0) {
      double squares = 0;
      for (Tensor* one : tensors()) squares += one->own.squares(rule);
      factor = rule.clipped(squares);
    }
    for (Tensor* one : tensors()) one->own.step(rule, factor, 0, one->gradient(), one->own.size);
  }

  // The network's answers [size][times, or 1][outputs] to a batch.
  void answer(const int64_t* x, const int64_t* rows, int size, float* to) {
    forward(x, rows, size);
    const int places = every ? times : 1;
    for (int b = 0; b < size; b++)
      for (int t = 0; t < places; t++, to += outputs)
        for (int j = 0; j < outputs; j += PANEL)
          memcpy(to + j, scores.at(first_answer(size) + t * size + b, j),
                 4 * size_t(outputs - j < PANEL ? outputs - j : PANEL));
  }

  // f(number in the embedding, row) for every symbol of the batch
  template <class F>
  void for_symbols(const int64_t* x, const int64_t* rows, int size, F f) const {
    for (int t = 0; t < times; t++)
      for (int b = 0; b < size; b++) f(size_t(x[rows[b] * times + t]) * width, t * size + b);
  }
  void read(const int64_t* x, const int64_t* rows, int size) {
    for_symbols(x, rows, size, [&](size_t from, int row) {
      for (int i = 0; i < width; i += PANEL)
        memcpy(embedded.at(row, i), embedding.weights() + from + i, 4 * size_t(span(i)));
    });
  }
  void write(const int64_t* x, const int64_t* rows, int size) {
    memset(embedding.gradient(), 0, embedding.own.size * 4);
    for_symbols(x, rows, size, [&](size_t to, int row) {
      for (int i = 0; i < width; i++)
        embedding.gradient()[to + i] += *embedded_slopes.at(row, i);
    });
  }
  int span(int column) const { return width - column < PANEL ? width - column : PANEL; }

  static Moment moment(int time, int size) {
    return {time * size, time ? (time - 1) * size : -1, size};
  }

  // all layers, up to the scores
  void forward(const int64_t* x, const int64_t* rows, int size) {
    read(x, rows, size);
    for (size_t l = 0; l < layers.size(); l++)
      forward(layers[l], l ? layers[l - 1].outputs : embedded, size);
    const int first = first_answer(size), count = answers(size);
    fill(scores, first, count, [&](int column) { return load(bias.weights() + column); });
    multiply(layers.back().outputs, first, weight.weights(), weight.inputs, weight.deep, scores,
             first, count, true);
  }
  void forward(Lstm& q, const Panels& inputs, int size) {
    fill(q.gates, 0, times * size, [&](int column) {
      return load(q.bias_input.weights() + column) + load(q.bias_before.weights() + column);
    });
    multiply(inputs, 0, q.from_input.weights(), q.from_input.inputs, q.from_input.deep, q.gates, 0,
             times * size, true);
    for (int t = 0; t < times; t++) {
      Moment now = moment(t, size);
      if (t)
        multiply(q.outputs, now.before, q.from_before.weights(), q.from_before.inputs, q.units,
                 q.gates, now.row, size, true, t % 2);
      cells_forward(now, q.units, q.gates, q.cells, q.outputs);
    }
  }

  // the scores' loss, and the slopes of the last layer's outputs
  void judge(const int64_t* y, const int64_t* rows, int size) {
    Lstm& last = layers.back();
    const int first = first_answer(size), count = answers(size), places = every ? times : 1;
    const Loss loss{CLASSES, outputs, scores.columns};
    const float scale = (rule.general() ? 1 : -rule.lr) / (float(size) * places);
    Sums part;
    for (int i = 0; i < count; i++) {
      int64_t target = y[rows[i % size] * places + i / size];
      loss.classes([&](int j) { return scores.at(first + i, j); }, target, scale, part);
    }
    sums.loss += part.loss / places;
    sums.correct += part.correct / places;
    sums.seen += size;
    multiply_turned(last.outputs, first, scores, first, count, weight.inputs, weight.deep,
                    weight.gradient());
    add_up(scores, first, count, bias.gradient());
    turn(weight.weights(), weight.deep, weight.wide, turned.get());
    multiply(scores, first, turned.get(), weight.wide, weight.wide, last.slopes, first, count,
             false);
  }

  void backward(Lstm& q, const Panels& inputs, const Panels& input_slopes, int size, bool is_last) {
    const int wide = q.gates.columns;
    turn(q.from_before.weights(), q.units, wide, turned.get());
    for (int t = times - 1; t >= 0; t--) {
      Moment now = moment(t, size);
      if (t + 1 < times)  // without an answer at this time, there are no slopes yet
        multiply(q.gates, now.row + size, turned.get(), wide, wide, q.slopes, now.row, size,
                 every || !is_last, t % 2);
      cells_backward(now, q.units, q.gates, q.cells, q.slopes, carried, t + 1 == times);
    }
    if (times > 1)
      multiply_turned(q.outputs, 0, q.gates, size, (times - 1) * size, q.from_before.inputs,
                      q.units, q.from_before.gradient());
    multiply_turned(inputs, 0, q.gates, 0, times * size, q.from_input.inputs, q.from_input.deep,
                    q.from_input.gradient());
    add_up(q.gates, 0, times * size, q.bias_input.gradient());
    memcpy(q.bias_before.gradient(), q.bias_input.gradient(), q.bias_input.own.size * 4);
    turn(q.from_input.weights(), q.from_input.deep, wide, turned.get());
    multiply(q.gates, 0, turned.get(), wide, wide, input_slopes, 0, times * size, false);
  }

  // rows of y, vector by vector
  template <class F>
  static void fill(const Panels& y, int row, int count, F f) {
    for (int column = 0; column < y.columns; column += LANES) {
      Vector value = f(column);
      for (int r = row; r < row + count; r++) store(y.at(r, column), value);
    }
  }
};
