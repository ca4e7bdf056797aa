// Local training of plain networks (convolutions, then Linear, ReLU, ..., Linear; float32): the
// clients of a chunk one after the other, each from its first step to its last without leaving this
// file. `_kernel.py` calls it; `_compiler.py` builds it for the machine that it runs on.
//
// A linear layer's update is done block by block, just before the next step's forward product reads
// the block, so a weight travels through the cache once a step. Convolutions have few weights:
// their gradients are made, then applied.

#include <functional>

#include "convolution.h"
#include "dense.h"
#include "loss.h"

// ---- a client -----------------------------------------------------------------------------------

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
  float shrink, scratch[BLOCK * PANEL], zeros[BLOCK * PANEL] = {};

  Client(int convolutions, const int32_t* numbers, int count, const int32_t* sizes, Loss loss,
         Rule rule, int batch)
      : loss(loss), rule(rule), general(rule.general()), shrink(rule.shrink()) {
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
  bool affine() const { return rule.tilted || shrink != 1; }

  template <class F>
  static void for_groups(int rows, F f) {
    for (int group = 0; rows > 0; group++, rows -= ROWS) f(group, rows < ROWS ? rows : ROWS);
  }

  // w += x^T d over the pending rows, for one block
  void add_products(const Layer& q, int block, int column, float* w) {
    for_groups(pending, [&](int group, int rows) {
      auto& table = q.shape.width(column) == PANEL ? UPDATE_WIDE : UPDATE_ONE;
      table[rows - 1](q.inputs[1 - now].at(group, block), w, nullptr, 1,
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
      table[pending - 1](q.inputs[1 - now].at(0, block), q.own.w.get() + at, shift, shrink,
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
    float norm = float(std::sqrt(squares));
    factor = norm > rule.clip ? rule.clip / norm : norm <= rule.clip ? 1 : norm;  // NaN stays
  }

  void run(const float* x, const void* y, const int64_t* rows, const int64_t* begin,
           const int64_t* end, int steps, Sums& sums) {
    int last = int(layers.size()) - 1;
    for (int t = 0; t < steps; t++) {
      const int64_t* batch = rows + begin[t];
      int size = int(end[t] - begin[t]), width = layers[0].shape.inputs;
      size_t example = front.layers.empty() ? size_t(width) : front.input_width;
      for_groups(size, [&](int group, int count) {
        for (int r = 0; r < count; r++) {
          int row = group * ROWS + r;
          const float* from = x + batch[row] * example;
          if (!front.layers.empty()) from = front.forward(row, from);
          for (int block = 0; block < width; block += BLOCK)
            memcpy(layers[0].inputs[now].at(group, block) + r * BLOCK, from + block,
                   4 * size_t(layers[0].shape.depth(block)));
        }
      });
      for (int l = 0; l <= last; l++) forward_layer(l, size, l == last);
      float scale = general ? 1.0f / size : -rule.lr / size;
      for_groups(size, [&](int group, int count) {
        for (int r = 0; r < count; r++) {
          const Rows& z = layers[last].slopes;
          int64_t row = batch[group * ROWS + r];
          if (loss.kind == CLASSES) loss.classes(z, group, r, ((const int64_t*)y)[row], scale, sums);
          if (loss.kind == BINARY) loss.binary(z, group, r, ((const int64_t*)y)[row], scale, sums);
          if (loss.kind == NUMBER) loss.number(z, group, r, (const float*)y + row * loss.outputs, scale, sums);
        }
      });
      sums.seen += size;
      for (int l = last; l > 0; l--)
        for_groups(size, [&](int group, int count) {
          backward(layers[l].shape, layers[l].own.w.get(), layers[l].slopes, layers[l].inputs[now],
                   layers[l - 1].slopes, group, count);
        });
      if (!front.layers.empty()) convolutions_backward(x, example, batch, size);
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

  void convolutions_backward(const float* x, size_t example, const int64_t* batch, int size) {
    const Layer& q = layers[0];
    for (Convolution& c : front.layers) c.clear_gradient();
    for_groups(size, [&](int group, int count) {
      backward(q.shape, q.own.w.get(), q.slopes, q.inputs[now], entry, group, count);
      for (int r = 0; r < count; r++) {
        for (int block = 0; block < q.shape.inputs; block += BLOCK)
          memcpy(&front.slopes[block], entry.at(group, block) + r * BLOCK,
                 4 * size_t(q.shape.depth(block)));
        front.backward(group * ROWS + r, x + batch[group * ROWS + r] * example);
      }
    });
    for (Convolution& c : front.layers) c.clear_margins();
  }

  void forward_layer(int l, int size, bool is_last) {
    Layer& q = layers[l];
    bool due = pending > 0;
    // the last layer's outputs replace its slopes, so these must be used up before
    if (due && is_last) q.shape.for_blocks([&](int block, int column) { update_block(q, block, column); });
    if (due) update_bias(q);
    Rows& out = is_last ? q.slopes : layers[l + 1].inputs[now];
    for_groups(size, [&](int group, int count) {
      for (int j = 0; j < q.shape.padded; j += LANES)
        for (int r = 0; r < count; r++) store(out.at(group, j) + r * BLOCK, load(q.bias(q.own.w) + j));
    });
    q.shape.for_blocks([&](int block, int column) {
      if (due && !is_last) update_block(q, block, column);
      auto& table = q.shape.width(column) == PANEL ? FORWARD_WIDE : FORWARD_ONE;
      for_groups(size, [&](int group, int count) {
        table[count - 1](q.inputs[now].at(group, block), q.own.w.get() + q.shape.offset(block, column),
                         out.at(group, column), q.shape.depth(block));
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

// ---- the door -----------------------------------------------------------------------------------

// A tensor [clients, ...]; stride is 0 where all clients share it, and at null it is not there.
struct Stacked {
  const float* at;
  int64_t stride;
};

static void add(float* to, float factor, const float* from, size_t count) {
  for (size_t i = 0; i < count; i++) to[i] += factor * from[i];
}

// A layer's weight and bias as PyTorch holds them, and how they come into our order.
struct Held {
  Parameters* own;
  size_t count, outputs, bias;  // numbers of the weight, of the bias; where the bias begins
  std::function<void(const float*, float*)> pack, unpack;
};

// PyTorch flattens [channels, places], we [places, channels]: reorders each output's weights.
static void swap_axes(const float* from, float* to, size_t outputs, int rows, int columns) {
  size_t inputs = size_t(rows) * columns;
  for (size_t o = 0; o < outputs; o++)
    transpose(from + o * inputs, columns, to + o * inputs, rows, rows, columns);
}

static std::vector<Held> held(Client& client, std::vector<float>& mixed) {
  std::vector<Held> all;
  int channels = 1, places = 1;
  for (Convolution& q : client.front.layers) {
    size_t count = size_t(q.outputs) * q.channels * q.tall * q.wide;
    all.push_back({&q.own, count, size_t(q.outputs), q.weights(),
                   [&q](const float* from, float* to) { q.pack(from, to); },
                   [&q](const float* from, float* to) { q.unpack(from, to); }});
    channels = q.outputs, places = q.places_out();
  }
  for (Layer& q : client.layers) {
    const Shape& s = q.shape;
    size_t count = size_t(s.inputs) * s.outputs;
    if (&q != client.layers.data() || places == 1 || channels == 1) {
      all.push_back({&q.own, count, size_t(s.outputs), s.size(),
                     [&s](const float* from, float* to) { pack(s, from, to); },
                     [&s](const float* from, float* to) { unpack(s, from, to); }});
      continue;
    }
    mixed.resize(count);
    all.push_back({&q.own, count, size_t(s.outputs), s.size(),
                   [=, &s, &mixed](const float* from, float* to) {
                     swap_axes(from, mixed.data(), s.outputs, channels, places);
                     pack(s, mixed.data(), to);
                   },
                   [=, &s, &mixed](const float* from, float* to) {
                     unpack(s, from, mixed.data());
                     swap_axes(mixed.data(), to, s.outputs, places, channels);
                   }});
  }
  return all;
}

// `convolutions`: 9 numbers for each (see `Convolution`); `sizes`: of the linear layers, inputs
// first. Tensors are listed layer by layer, weight and bias.
extern "C" int fedrun_train(int32_t num_convolutions, const int32_t* convolutions,
                            int32_t num_layers, const int32_t* sizes, int32_t kind,
                            int32_t clients, const Stacked* start, const Stacked* drift,
                            const Stacked* anchor, float* const* trained, const float* x,
                            const void* y, const int64_t* rows, const int64_t* begin,
                            const int64_t* end, const int64_t* first, float lr, float momentum,
                            float decay, float mu, float clip, double* sums) try {
  Rule rule{lr, momentum, decay, anchor ? mu : 0, clip, drift || (anchor && mu != 0)};
  int64_t batch = 1;
  for (int64_t s = first[0]; s < first[clients]; s++)
    if (end[s] - begin[s] > batch) batch = end[s] - begin[s];
  int outputs = sizes[num_layers];
  Client client(num_convolutions, convolutions, num_layers, sizes,
                Loss{Kind(kind), outputs, round_up(outputs, LANES)}, rule, int(batch));
  std::vector<float> order, mixed;
  const std::vector<Held> layers = held(client, order);
  std::vector<Floats> shared;  // the start, packed once where all clients share it
  bool sharing = true;
  for (size_t l = 0; l < layers.size(); l++) sharing = sharing && start[2 * l].stride == 0;
  for (size_t l = 0; sharing && l < layers.size(); l++) {
    shared.push_back(floats(layers[l].own->size));
    layers[l].pack(start[2 * l].at, shared[l].get());
  }
  for (int c = 0; c < clients; c++) {
    auto part = [&](const Stacked* s, size_t i) { return s ? s[i].at + c * s[i].stride : nullptr; };
    for (size_t l = 0; l < layers.size(); l++) {
      const Held& q = layers[l];
      float* w = q.own->w.get();
      if (sharing) memcpy(w, shared[l].get(), q.bias * 4);
      else q.pack(part(start, 2 * l), w);
      memcpy(w + q.bias, part(start, 2 * l + 1), q.outputs * 4);
      if (rule.tilted)
        for (size_t i = 2 * l; i <= 2 * l + 1; i++) {  // weight, bias
          size_t n = i % 2 ? q.outputs : q.count;
          float scale = client.general ? 1 : -lr;  // the fused step adds -lr times the tilt
          mixed.assign(n, 0);
          if (const float* d = part(drift, i)) add(mixed.data(), scale, d, n);
          if (const float* a = part(anchor, i)) add(mixed.data(), -scale * rule.pull, a, n);
          if (i % 2) memcpy(&q.own->tilt[q.bias], mixed.data(), n * 4);
          else q.pack(mixed.data(), q.own->tilt.get());
        }
      if (rule.momentum != 0) memset(q.own->velocity.get(), 0, q.own->size * 4);
    }
    Sums total;
    client.factor = 1;
    for (Convolution& q : client.front.layers) q.refresh();
    client.run(x, y, rows, begin + first[c], end + first[c], int(first[c + 1] - first[c]), total);
    for (size_t l = 0; l < layers.size(); l++) {
      const Held& q = layers[l];
      q.unpack(q.own->w.get(), trained[2 * l] + c * q.count);
      memcpy(trained[2 * l + 1] + c * q.outputs, &q.own->w[q.bias], q.outputs * 4);
    }
    sums[3 * c] = total.loss;
    sums[3 * c + 1] = total.correct;
    sums[3 * c + 2] = total.seen;
  }
  return 0;
} catch (const std::bad_alloc&) {
  return 1;
}
