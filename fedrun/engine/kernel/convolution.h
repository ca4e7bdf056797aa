// A convolution (stride 1, zero padding), ReLU and, if wanted, 2x2 max pooling, of one image.
//
// - Images have their channels innermost and a border of zeros, so that nothing is special at the
//   edges. Under an output pixel lie `lines` contiguous runs of `terms` inputs.
// - Forward, the sums of a row of output pixels times a panel of channels stay in registers.
// - Backward, only outputs that won their window and are positive have a slope, a quarter of them
//   at most where there is a pool. They are listed by channel; a channel's gradient then
//   accumulates in registers over its list.
#pragma once

#include "convolution_kernels.h"
#include "parameters.h"

struct Convolution {
  int channels, height, width, outputs, tall, wide, above, beside;  // kernel and padding
  bool pooled;
  int rows, columns;         // of the convolution's result
  int out_rows, out_columns; // behind the pool
  int padded, lines, terms, run;  // run: terms rounded up, as weights lie [outputs][lines][run]
  size_t pixel, line;
  Parameters own;
  Floats packed;             // the weights as the forward pass reads them, by panels
  Floats band, list, image, slopes;
  std::vector<int32_t> places;

  // numbers: channels, height, width, outputs, kernel (2), padding (2), pooled
  Convolution(const int32_t* n, const Rule& rule, bool first)
      : channels(n[0]), height(n[1]), width(n[2]), outputs(n[3]), tall(n[4]), wide(n[5]),
        above(n[6]), beside(n[7]), pooled(n[8]) {
    rows = height + 2 * above - tall + 1;
    columns = width + 2 * beside - wide + 1;
    out_rows = pooled ? rows / 2 : rows;
    out_columns = pooled ? columns / 2 : columns;
    padded = round_up(outputs, LANES);
    lines = tall;
    terms = wide * channels;
    run = round_up(terms, LANES);
    pixel = channels;
    line = size_t(width + 2 * beside) * channels;
    own.make(weights() + padded, rule, true);
    packed = floats(size_t(padded) * lines * terms);
    band = floats(size_t(2) * columns * padded);
    list = floats(size_t(LANES) * places_out());
    places.resize(size_t(LANES) * places_out());
    image = floats(image_size());
    if (!first) slopes = floats(image_size());
  }
  size_t weights() const { return size_t(outputs) * lines * run; }
  size_t image_size() const {
    return size_t(height + 2 * above) * (width + 2 * beside) * channels;
  }
  int places_out() const { return out_rows * out_columns; }
  size_t result_size() const { return size_t(places_out()) * outputs; }
  size_t origin() const { return above * line + size_t(beside) * channels; }

  // the lines of the kernel that are not all border above or below the image
  std::pair<int, int> inside(int row) const {
    int from = above > row ? above - row : 0, to = height + above - row;
    return from < tall && to > 0 ? std::pair{from, to < tall ? to : tall} : std::pair{0, 0};
  }

  // from PyTorch's [outputs, channels, tall, wide], and back
  template <class F>
  void for_weights(F f) const {
    size_t theirs = 0;
    for (int o = 0; o < outputs; o++)
      for (int c = 0; c < channels; c++)
        for (int i = 0; i < tall * wide; i++) {
          int term = i * channels + c;
          f(theirs++, (size_t(o) * lines + term / terms) * run + term % terms);
        }
  }
  void pack(const float* from, float* to) const {
    for_weights([&](size_t theirs, size_t ours) { to[ours] = from[theirs]; });
  }
  void unpack(const float* from, float* to) const {
    for_weights([&](size_t theirs, size_t ours) { to[theirs] = from[ours]; });
  }

  // the weights have changed
  void refresh() {
    for (int column = 0, many; column < padded; column += many) {
      many = padded - column >= PANEL ? PANEL : LANES;
      int real = outputs - column < many ? outputs - column : many;
      for (int l = 0; l < lines; l++)
        transpose(&own.w[(size_t(column) * lines + l) * run], size_t(lines) * run,
                  &packed[(size_t(column) * lines + size_t(l) * many) * terms], many, real, terms);
    }
  }

  // an example [channels, height, width] as this layer's input
  const float* enter(const float* x) {
    for (int i = 0; i < height; i++) {
      float* to = &image[origin() + i * line];
      if (channels == 1) memcpy(to, x + size_t(i) * width, size_t(width) * 4);
      else
        for (int c = 0; c < channels; c++)
          for (int j = 0; j < width; j++)
            to[j * channels + c] = x[(size_t(c) * height + i) * width + j];
    }
    return image.get();
  }

  // The result, lines of which are `to_line` apart, and where in x each of it comes from.
  void forward(const float* x, float* y, size_t to_line, int32_t* from) {
    const int deep = pooled ? 2 : 1, wanted = out_columns * deep;
    for (int i = 0; i < out_rows; i++) {
      for (int column = 0, many; column < padded; column += many) {
        many = padded - column >= PANEL ? PANEL : LANES;
        auto& kernels = many == PANEL ? ROW_WIDE : ROW_ONE;
        const float* w = &packed[size_t(column) * lines * terms];
        const float* bias = &own.w[weights() + column];
        for (int r = 0; r < deep; r++) {
          const int row = i * deep + r;
          const auto [from, to] = inside(row);
          for (int j = 0, count; j < wanted; j += count) {
            int tiles = (wanted - j + PIXELS - 1) / PIXELS;
            count = (wanted - j + tiles - 1) / tiles;
            kernels[count - 1](x + (row + from) * line + j * pixel, pixel, line, to - from, terms,
                               w + size_t(from) * terms * many, bias,
                               &band[(size_t(r) * columns + j) * padded + column], padded);
          }
        }
      }
      if (pooled) finish<2>(i, y + i * to_line, from + size_t(i) * out_columns * outputs);
      else finish<1>(i, y + i * to_line, from + size_t(i) * out_columns * outputs);
    }
  }
  // ReLU and pooling of the rows just computed. As in PyTorch the first maximum of a window wins,
  // and NaN wins against numbers.
  template <int SIDE>
  void finish(int i, float* y, int32_t* from) const {
    for (int j = 0; j < out_columns; j++)
      for (int c = 0; c < outputs; c += LANES) {
        const float* z = &band[size_t(j) * SIDE * padded + c];
        const int corner = int(i * SIDE * line + j * SIDE * pixel);
        Vector best = load(z);
        Bits where = Bits{} + corner;
        for (int q = 1; q < SIDE * SIDE; q++) {
          Vector other = load(z + (size_t(q / SIDE) * columns + q % SIDE) * padded);
          Bits wins = (other > best) | (other != other);
          best = wins ? other : best;
          where = wins ? Bits{} + (corner + int(q / SIDE * line + q % SIDE * pixel)) : where;
        }
        store_part(y + size_t(j) * outputs + c, best <= 0.0f ? Vector{} : best, outputs - c);
        memcpy(from + size_t(j) * outputs + c, &where, sizeof where);
      }
  }

  // Adds to the gradient what the slopes d of the result say; with `wanted` it leaves the slopes of
  // the inputs in `slopes`.
  void backward(const float* x, const float* d, const int32_t* from, bool wanted) {
    if (wanted) memset(slopes.get(), 0, image_size() * 4);
    for (int o = 0; o < outputs; o += LANES) list_slopes(x, d + o, from + o, o, wanted);
  }
  // LANES channels from the given one on: few enough for their lists to stay in the cache
  void list_slopes(const float* x, const float* d, const int32_t* from, int channel, bool wanted) {
    const int total = places_out(), step = outputs;
    const int many = outputs - channel < LANES ? outputs - channel : LANES;
    float* slope = list.get();
    int32_t* place = places.data();
    int ends[LANES];
    for (int o = 0; o < many; o++) ends[o] = o * total;
    Vector sum = {};
    for (int p = 0; p < total; p++, d += step, from += step) {
      sum += load(d);
      for (int o = 0; o < many; o++) {
        const int end = ends[o];
        uint32_t bits;
        memcpy(&bits, d + o, 4);
        memcpy(slope + end, &bits, 4);
        place[end] = from[o];
        ends[o] = end + (bits << 1 != 0);  // not 0; without a branch
      }
    }
    float* bias = &own.gradient[weights() + channel];
    store(bias, load(bias) + sum);
    for (int o = 0; o < many; o++, slope += total, place += total) {
      const int count = ends[o] - o * total;
      for (int k = 0, vectors; k < run; k += vectors * LANES) {
        vectors = run - k < RUN * LANES ? (run - k) / LANES : RUN;
        for (int l = 0, high; l < lines; l += high) {
          high = lines - l < RUN / vectors ? lines - l : RUN / vectors;
          const size_t at = (size_t(channel + o) * lines + l) * run + k, shift = l * line + k;
          GATHER[vectors - 1][high - 1](x + shift, line, place, slope, count,
                                        &own.gradient[at], run);
          if (wanted)
            SCATTER[vectors - 1][high - 1](&slopes[shift], line, place, slope, count, &own.w[at],
                                           run);
        }
      }
    }
  }
  void clear_gradient() { memset(own.gradient.get(), 0, own.size * 4); }
  // lines are read in whole vectors: what stands beyond their ends is no gradient
  void clear_margins() {
    for (size_t l = 0; l < size_t(outputs) * lines; l++)
      for (int k = terms; k < run; k++) own.gradient[l * run + k] = 0;
    for (int o = outputs; o < padded; o++) own.gradient[weights() + o] = 0;
  }
  // slopes of the inputs, 0 where the input is, without the border: [height][width][channels]
  void leave(const float* x, float* d) const {
    const int count = width * channels;
    for (int i = 0; i < height; i++, d += count) {
      const size_t at = origin() + i * line;
      for (int j = 0; j < count; j += LANES)
        store(d + j, load(x + at + j) > 0.0f ? load(&slopes[at + j]) : Vector{});
    }
  }
};

// Convolutions one after the other, and what a batch leaves in them for the way back.
struct Convolutions {
  std::vector<Convolution> layers;
  std::vector<Floats> inputs;  // of each but the first, whose inputs are laid out again
  std::vector<std::vector<int32_t>> from;
  Floats result, slopes;       // of one image, behind the last one
  size_t input_width = 0;

  void make(int count, const int32_t* numbers, const Rule& rule, int batch) {
    for (int l = 0; l < count; l++) {
      Convolution& q = layers.emplace_back(numbers + 9 * l, rule, l == 0);
      inputs.push_back(floats(l ? batch * q.image_size() : 0));
      from.emplace_back(batch * q.result_size() + LANES);
    }
    size_t widest = 0;
    for (Convolution& q : layers) widest = q.result_size() > widest ? q.result_size() : widest;
    result = floats(widest);
    slopes = floats(widest);
    if (count) input_width = size_t(layers[0].channels) * layers[0].height * layers[0].width;
  }
  float* input(int l, int row) const { return &inputs[l][row * layers[l].image_size()]; }
  int32_t* winners(int l, int row) { return &from[l][row * layers[l].result_size()]; }

  // The result [height][width][channels] of an example, which is row `row` of the batch.
  const float* forward(int row, const float* example) {
    const float* x = layers[0].enter(example);
    const int last = int(layers.size()) - 1;
    for (int l = 0; l < last; l++) {
      const Convolution& next = layers[l + 1];
      float* y = input(l + 1, row);
      layers[l].forward(x, y + next.origin(), next.line, winners(l, row));
      x = y;
    }
    const Convolution& q = layers[last];
    layers[last].forward(x, result.get(), size_t(q.out_columns) * q.outputs, winners(last, row));
    return result.get();
  }
  // Adds to the gradients what this row's slopes of the result, in `slopes`, say.
  void backward(int row, const float* example) {
    for (int l = int(layers.size()) - 1; l >= 0; l--) {
      Convolution& q = layers[l];
      const float* x = l ? input(l, row) : q.enter(example);
      q.backward(x, slopes.get(), winners(l, row), l > 0);
      if (l) q.leave(x, slopes.get());
    }
  }
  void update(const Rule& rule, float factor) {
    for (Convolution& q : layers) {
      q.own.step(rule, factor, 0, q.own.gradient.get(), q.own.size);
      q.refresh();
    }
  }
};
