// Local training of plain networks (convolutions, then Linear, ReLU, ..., Linear; float32): the
// clients of a chunk one after the other, each from its first step to its last without leaving this
// file. `_kernel.py` calls it; `_compiler.py` builds it for the machine that it runs on.
//
// Vectors are GCC's and Clang's portable vector type; the compiler maps them to the machine's own.

#include <functional>

#include "client.h"

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
  bool sharing = clients > 1;
  for (size_t l = 0; l < layers.size(); l++) sharing = sharing && start[2 * l].stride == 0;
  for (size_t l = 0; sharing && l < layers.size(); l++) {
    shared.push_back(floats(layers[l].own->size));
    layers[l].pack(start[2 * l].at, shared[l].get());
  }
  for (int c = 0; c < clients; c++) {
    auto part = [&](const Stacked* s, size_t i) { return part_of(s, i, c); };
    for (size_t l = 0; l < layers.size(); l++) {
      const Held& q = layers[l];
      float* w = q.own->w.get();
      // what lies between the real outputs may be NaN, if the client before this one diverged
      memset(w, 0, q.own->size * 4);
      if (rule.tilted) memset(q.own->tilt.get(), 0, q.own->size * 4);
      if (sharing) memcpy(w, shared[l].get(), q.bias * 4);
      else q.pack(part(start, 2 * l), w);
      memcpy(w + q.bias, part(start, 2 * l + 1), q.outputs * 4);
      if (rule.tilted)
        for (size_t i = 2 * l; i <= 2 * l + 1; i++) {  // weight, bias
          size_t n = i % 2 ? q.outputs : q.count;
          rule.tilt(part(drift, i), part(anchor, i), n, mixed);
          if (i % 2) memcpy(&q.own->tilt[q.bias], mixed.data(), n * 4);
          else q.pack(mixed.data(), q.own->tilt.get());
        }
      if (rule.momentum != 0) memset(q.own->velocity.get(), 0, q.own->size * 4);
    }
    Sums total;
    client.factor = 1;
    for (Convolution& q : client.front.layers) q.refresh();
    client.run(x, y, rows, begin + first[c], end + first[c], int(first[c + 1] - first[c]),
               rows + end[first[clients] - 1], total);
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
} catch (const std::exception&) {
  return 1;
}

// The outputs [rows, outputs] of a network for all rows of x; params as in `fedrun_train`.
extern "C" int fedrun_answer(int32_t num_convolutions, const int32_t* convolutions,
                             int32_t num_layers, const int32_t* sizes, const float* const* params,
                             const float* x, int64_t rows, float* answers) try {
  const int64_t most = rows < 12 * ROWS ? rows : 12 * ROWS;
  const int outputs = sizes[num_layers];
  Client client(num_convolutions, convolutions, num_layers, sizes,
                Loss{CLASSES, outputs, round_up(outputs, LANES)}, Rule{}, int(most));
  std::vector<float> mixed;
  const std::vector<Held> layers = held(client, mixed);
  for (size_t l = 0; l < layers.size(); l++) {
    const Held& q = layers[l];
    q.pack(params[2 * l], q.own->w.get());
    memcpy(&q.own->w[q.bias], params[2 * l + 1], q.outputs * 4);
  }
  for (Convolution& q : client.front.layers) q.refresh();
  std::vector<int64_t> batch(most);
  for (int64_t from = 0; from < rows; from += most) {
    const int size = int(rows - from < most ? rows - from : most);
    for (int r = 0; r < size; r++) batch[r] = from + r;
    client.answer(x, batch.data(), size, answers + from * outputs);
  }
  return 0;
} catch (const std::exception&) {
  return 1;
}
