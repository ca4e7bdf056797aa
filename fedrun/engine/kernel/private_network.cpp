// Local training of linear/ReLU chains (float32) by steps that hide each example: the clients of a
// chunk one after the other (`fedrun/engine/_private_network.py`).

#include "private_client.h"

extern "C" {

// count words of the keystream of this key, from word `from` on
int fedrun_keystream(const uint8_t* key, int64_t from, int64_t count, uint64_t* result) try {
  const Keystream stream(key);
  std::vector<uint64_t> space(size_t(count) + Keystream::MORE);
  const uint64_t* words = stream.words(uint64_t(from), int(count), space.data());
  memcpy(result, words, size_t(count) * 8);
  return 0;
} catch (const std::exception&) {
  return 1;
}

// `sizes`: of the linear layers, inputs first. Tensors are listed layer by layer, weight and bias;
// free: whether each is trained. clip, scale, deviation: see `Hiding`; expected [clients]: the mean
// size of a batch; keys [clients, 32]: of the noise.
int fedrun_train_private(int32_t num_layers, const int32_t* sizes, int32_t kind, int32_t clients,
                         const Stacked* start, const Stacked* drift, const Stacked* anchor,
                         float* const* trained, const float* x, const void* y,
                         const int64_t* rows, const int64_t* begin, const int64_t* end,
                         const int64_t* first, const int32_t* free, float lr, float momentum,
                         float decay, float mu, double clip, double scale, double deviation,
                         const double* expected, const uint8_t* keys, double* sums) try {
  Rule rule{lr, momentum, decay, anchor ? mu : 0, 0, drift || (anchor && mu != 0)};
  int64_t batch = 1;
  for (int64_t s = first[0]; s < first[clients]; s++)
    if (end[s] - begin[s] > batch) batch = end[s] - begin[s];
  const int outputs = sizes[num_layers];
  PrivateClient client(num_layers, sizes, free,
                       Loss{Kind(kind), outputs, round_up(outputs, LANES)}, rule,
                       Hiding{clip, scale, deviation}, int(batch < PART ? batch : PART));
  const int64_t* stop = first[clients] > first[0] ? rows + end[first[clients] - 1] : rows;
  for (int c = 0; c < clients; c++) {
    size_t i = 0;
    for (PrivateLayer& q : client.layers)
      for (Trained* one : {&q.weight, &q.bias}) {
        one->read(part_of(start, i, c), one->w);
        if (rule.tilted) {
          one->read(part_of(drift, i, c), one->drift);
          if (rule.pull != 0) one->read(part_of(anchor, i, c), one->anchor);
        }
        if (one->velocity) memset(one->velocity.get(), 0, one->size() * 4);
        i++;
      }
    Sums total;
    client.run(x, y, rows, begin + first[c], end + first[c], first[c + 1] - first[c], stop,
               expected[c], keys + 32 * c, total);
    i = 0;
    for (PrivateLayer& q : client.layers)
      for (const Trained* one : {&q.weight, &q.bias}) {
        one->write(trained[i] + c * one->count());
        i++;
      }
    sums[3 * c] = total.loss;
    sums[3 * c + 1] = total.correct;
    sums[3 * c + 2] = total.seen;
  }
  return 0;
} catch (const std::exception&) {
  return 1;
}
}
