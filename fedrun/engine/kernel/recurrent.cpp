// Local training of recurrent networks (Embedding, LSTM layers, Linear; float32): the clients of a
// chunk one after the other, each from its first step to its last without leaving this file.
// `_recurrent.py` calls it; `_compiler.py` builds it for the machine that it runs on.

#include "recurrent.h"

// The network of the chunk before, if it serves this one too: its memory would be given back and
// asked for anew, which takes as long as half a step.
static Recurrent& network_for(const int32_t* sizes, bool every, int batch, const Rule& rule) {
  static thread_local std::unique_ptr<Recurrent> kept;
  static thread_local std::vector<int32_t> kept_sizes;
  std::vector<int32_t> asked(sizes, sizes + 6);
  asked.insert(asked.end(), {every, rule.tilted, rule.momentum != 0});
  if (!kept || asked != kept_sizes || batch > kept->batch) {
    kept.reset();
    kept = std::make_unique<Recurrent>(sizes[0], sizes[1], sizes[2], sizes[3], sizes[4], sizes[5],
                                       every, batch, rule);
    kept_sizes = asked;
  }
  kept->rule = rule;
  return *kept;
}

// `sizes`: symbols, numbers of an embedding, hidden units, LSTM layers, outputs, positions.
// every: whether each position has a target, or the example as a whole (of the last position).
extern "C" int fedrun_train_recurrent(const int32_t* sizes, int32_t every, int32_t clients,
                                      const Stacked* start, const Stacked* drift,
                                      const Stacked* anchor, float* const* trained,
                                      const int64_t* x, const int64_t* y, const int64_t* rows,
                                      const int64_t* begin, const int64_t* end,
                                      const int64_t* first, float lr, float momentum, float decay,
                                      float mu, float clip, double* sums) try {
  Rule rule{lr, momentum, decay, anchor ? mu : 0, clip, drift || (anchor && mu != 0)};
  int64_t batch = 1;
  for (int64_t s = first[0]; s < first[clients]; s++)
    if (end[s] - begin[s] > batch) batch = end[s] - begin[s];
  Recurrent& network = network_for(sizes, every, int(batch), rule);
  std::vector<Tensor*> tensors = network.tensors();
  std::vector<float> space;
  for (int c = 0; c < clients; c++) {
    for (size_t i = 0; i < tensors.size(); i++)
      tensors[i]->begin(part_of(start, i, c), part_of(drift, i, c), part_of(anchor, i, c), rule,
                        space);
    network.sums = Sums{};
    for (int64_t s = first[c]; s < first[c + 1]; s++)
      network.step(x, y, rows + begin[s], int(end[s] - begin[s]));
    for (size_t i = 0; i < tensors.size(); i++)
      tensors[i]->unpack(trained[i] + c * tensors[i]->count());
    sums[3 * c] = network.sums.loss;
    sums[3 * c + 1] = network.sums.correct;
    sums[3 * c + 2] = network.sums.seen;
  }
  return 0;
} catch (const std::exception&) {
  return 1;
}

// The answers [rows][positions, or 1][outputs] to all rows of x.
extern "C" int fedrun_answer_recurrent(const int32_t* sizes, int32_t every,
                                       const float* const* params, const int64_t* x, int64_t rows,
                                       float* answers) try {
  const int64_t most = rows < 4 * ROWS ? rows : 4 * ROWS;
  const Rule rule{};
  Recurrent network(sizes[0], sizes[1], sizes[2], sizes[3], sizes[4], sizes[5], every, int(most),
                    rule);
  std::vector<Tensor*> tensors = network.tensors();
  std::vector<float> space;
  for (size_t i = 0; i < tensors.size(); i++)
    tensors[i]->begin(params[i], nullptr, nullptr, rule, space);
  std::vector<int64_t> batch(most);
  for (int64_t from = 0; from < rows; from += most) {
    const int size = int(rows - from < most ? rows - from : most);
    for (int r = 0; r < size; r++) batch[r] = from + r;
    network.answer(x, batch.data(), size, answers + from * sizes[4] * (every ? sizes[5] : 1));
  }
  return 0;
} catch (const std::exception&) {
  return 1;
}
