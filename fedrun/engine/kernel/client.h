// A client's training: steps over batches, forward and back through all layers.
//
// A linear layer's update is done block by block, just before the next step's forward product reads
// the block, so a weight travels through the cache once a step. Convolutions have few weights:
// their gradients are made, then applied.
#pragma once

#include "convolution.h"
#include "dense.h"
#include "loss.h"

struct Layer {
  Shape shape;
  Parameters own;
  Rows inputs[2], slopes;
  explicit Layer(int inputs, int outputs) : shape(inputs, outputs) {}
  size_t size() const { return shape.size() + shape.padded; }
  float* bias(const Floats& f) const { return f.get() + shape.size(); }
};

struct Client {
  Convolutions front;  // none in a perceptron
  std::vector<Layer> layers;
  Rows entry;          // slopes of the first layer's inputs, where convolutions want them
  Loss loss;
  Rule rule;
  bool general;                // momentum or clipping: gradients are made before they are applied
  int pending = 0, now = 0;    // rows whose update is still to be made; which inputs are current
  float factor = 1;            // what clipping leaves of the gradient
  float rate, scratch[BLOCK * PANEL], zeros[BLOCK * PANEL] = {};

  Client(int convolutions, const int32_t* numbers, int count, const int32_t* sizes, Loss loss,
         Rule rule, int batch)
      : loss(loss), rule(rule), general(rule.general()), rate(rule.rate()) {
    front.make(convolutions, numbers, rule, batch);
    int groups = (batch + ROWS - 1) / ROWS;
    for (int l = 0; l < count; l++) {
      Layer& q = layers.emplace_back(sizes[l], sizes[l + 1]);
      q.own.make(q.size(), rule, rule.clip != 0);
      for (Rows& x : q.inputs) x.make(q.shape.inputs, groups);
      q.slopes.make(q.shape.padded, groups);
    }
    if (convolutions) entry.make(sizes[0], groups);
  }
  bool affine() const { return rule.tilted || rate != 0; }

  template <class F>
  static void for_groups(int rows, F f) {
    for (int group = 0; rows > 0; group++, rows -= ROWS) f(group, rows < ROWS ? rows : ROWS);
  }

  // w += x^T d over the pending rows, for one block
  void add_products(const Layer& q, int block, int column, float* w) {
    for_groups(pending, [&](int group, int rows) {
      auto& table = q.shape.width(column) == PANEL ? UPDATE_WIDE : UPDATE_ONE;
      table[rows - 1](q.inputs[1 - now].at(group, block), w, nullptr, 0,
                      q.slopes.at(group, column), q.shape.depth(block));
    });
  }
  void add_slopes(const Layer& q, float* bias) {
    for_groups(pending, [&](int group, int rows) {
      for (int r = 0; r < rows; r++)
        for (int j = 0; j < q.shape.padded; j += LANES)
          store(bias + j, load(bias + j) + load(q.slopes.at(group, j) + r * BLOCK));
    });
  }
  void update_block(Layer& q, int block, int column) {
    size_t at = q.shape.offset(block, column);
    int width = q.shape.width(column), depth = q.shape.depth(block), count = width * depth;
    if (!general && pending <= ROWS) {
      bool wide = width == PANEL;
      auto& table = affine() ? (wide ? AFFINE_WIDE : AFFINE_ONE) : wide ? UPDATE_WIDE : UPDATE_ONE;
      const float* shift = rule.tilted ? q.own.tilt.get() + at : zeros;
      table[pending - 1](q.inputs[1 - now].at(0, block), q.own.w.get() + at, shift, rate,
                         q.slopes.at(0, column), depth);
    } else if (rule.clip != 0) {
      q.own.step(rule, factor, at, q.own.gradient.get() + at, count);
    } else {
      memset(scratch, 0, size_t(count) * 4);
      add_products(q, block, column, scratch);
      q.own.step(rule, factor, at, scratch, count);
    }
  }
  void update_bias(Layer& q) {
    size_t at = q.shape.size();
    int count = q.shape.padded;
    if (rule.clip != 0) {
      q.own.step(rule, factor, at, q.bias(q.own.gradient), count);
    } else {
      std::vector<float> g(count);
      add_slopes(q, g.data());
      q.own.step(rule, factor, at, g.data(), count);
    }
  }
  // all gradients of the pending rows, and how much of them clipping leaves
  void make_gradients() {
    double squares = 0;
    for (Layer& q : layers) {
      memset(q.own.gradient.get(), 0, q.size() * 4);
      q.shape.for_blocks([&](int block, int column) {
        add_products(q, block, column, q.own.gradient.get() + q.shape.offset(block, column));
      });
      add_slopes(q, q.bias(q.own.gradient));
      squares += q.own.squares(rule);
    }
    for (Convolution& q : front.layers) squares += q.own.squares(rule);
    factor = rule.clipped(squares);
  }

  size_t example() const { return front.layers.empty() ? layers[0].shape.inputs : front.input_width; }

  // the rows of a batch, as the first linear layer's inputs
  void enter(const float* x, const int64_t* batch, int size) {
    const int width = layers[0].shape.inputs;
    const size_t numbers = example();
    for_groups(size, [&](int group, int count) {
      for (int r = 0; r < count; r++) {
        int row = group * ROWS + r;
        const float* from = x + batch[row] * numbers;
        if (!front.layers.empty()) from = front.forward(row, from);
        for (int block = 0; block < width; block += BLOCK)
          memcpy(layers[0].inputs[now].at(group, block) + r * BLOCK, from + block,
                 4 * size_t(layers[0].shape.depth(block)));
      }
    });
  }

  // The network's outputs [size, outputs] for a batch.
  void answer(const float* x, const int64_t* batch, int size, float* to) {
    const int last = int(layers.size()) - 1;
    enter(x, batch, size);
    for (int l = 0; l <= last; l++) forward_layer(l, size, l == last);
    for_groups(size, [&](int group, int count) {
      for (int r = 0; r < count; r++)
        for (int j = 0; j < loss.outputs; j++)
          *to++ = layers[last].slopes.at(group, j)[r * BLOCK];
    });
  }

  // stop: where the rows of all clients end
  void run(const float* x, const void* y, const int64_t* rows, const int64_t* begin,
           const int64_t* end, int steps, const int64_t* stop, Sums& sums) {
    const int last = int(layers.size()) - 1;
    const size_t width = example();
    for (int t = 0; t < steps; t++) {
      const int64_t* batch = rows + begin[t];
      int size = int(end[t] - begin[t]);
      enter(x, batch, size);
      // the next batch, this client's or the next one's, comes from memory meanwhile
      for (const int64_t* row = batch + size; row < stop && row < batch + 2 * size; row++)
        for (size_t i = 0; i < width; i += 16) __builtin_prefetch(x + *row * width + i, 0, 2);
      for (int l = 0; l <= last; l++) forward_layer(l, size, l == last);
      float scale = general ? 1.0f / size : -rule.lr / size;
      for_groups(size, [&](int group, int count) {
        for (int r = 0; r < count; r++) {
          auto at = [&](int j) { return layers[last].slopes.at(group, j) + r * BLOCK; };
          int64_t row = batch[group * ROWS + r];
          auto labels = static_cast<const int64_t*>(y);
          auto numbers = static_cast<const float*>(y);
          if (loss.kind == CLASSES) loss.classes(at, labels[row], scale, sums);
          if (loss.kind == BINARY) loss.binary(at, labels[row], scale, sums);
          if (loss.kind == NUMBER) loss.number(at, numbers + row * loss.outputs, scale, sums);
        }
      });
      sums.seen += size;
      for (int l = last; l > 0; l--)
        for_groups(size, [&](int group, int count) {
          backward(layers[l].shape, layers[l].own.w.get(), layers[l].slopes, layers[l].inputs[now],
                   layers[l - 1].slopes, group, count);
        });
      if (!front.layers.empty()) convolutions_backward(x, batch, size);
      pending = size;
      now = 1 - now;
      if (rule.clip != 0) make_gradients();
      front.update(rule, factor);  // linear layers wait for the next forward pass
    }
    for (Layer& q : layers) {
      q.shape.for_blocks([&](int block, int column) { update_block(q, block, column); });
      update_bias(q);
    }
    pending = 0;
  }

  void convolutions_backward(const float* x, const int64_t* batch, int size) {
    const Layer& q = layers[0];
    for (Convolution& c : front.layers) c.clear_gradient();
    for_groups(size, [&](int group, int count) {
      backward(q.shape, q.own.w.get(), q.slopes, q.inputs[now], entry, group, count);
      for (int r = 0; r < count; r++) {
        for (int block = 0; block < q.shape.inputs; block += BLOCK)
          memcpy(&front.slopes[block], entry.at(group, block) + r * BLOCK,
                 4 * size_t(q.shape.depth(block)));
        front.backward(group * ROWS + r, x + batch[group * ROWS + r] * front.input_width);
      }
    });
    for (Convolution& c : front.layers) c.clear_margins();
  }

  void forward_layer(int l, int size, bool is_last) {
    Layer& q = layers[l];
    bool due = pending > 0;
    // the last layer's outputs replace its slopes, so these must be used up before
    if (due && is_last)
      q.shape.for_blocks([&](int block, int column) { update_block(q, block, column); });
    if (due) update_bias(q);
    Rows& out = is_last ? q.slopes : layers[l + 1].inputs[now];
    for_groups(size, [&](int group, int count) {
      for (int j = 0; j < q.shape.padded; j += LANES)
        for (int r = 0; r < count; r++)
          store(out.at(group, j) + r * BLOCK, load(q.bias(q.own.w) + j));
    });
    q.shape.for_blocks([&](int block, int column) {
      if (due && !is_last) update_block(q, block, column);
      auto& table = q.shape.width(column) == PANEL ? FORWARD_WIDE : FORWARD_ONE;
      for_groups(size, [&](int group, int count) {
        table[count - 1](q.inputs[now].at(group, block),
                         q.own.w.get() + q.shape.offset(block, column), out.at(group, column),
                         q.shape.depth(block));
      });
    });
    if (!is_last)
      for_groups(size, [&](int group, int count) {
        for (int j = 0; j < q.shape.padded; j += LANES)
          for (int r = 0; r < count; r++) {
            Vector z = load(out.at(group, j) + r * BLOCK);
            store(out.at(group, j) + r * BLOCK, z <= 0.0f ? Vector{} : z);
          }
      });
  }
};
