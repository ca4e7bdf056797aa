// The noise of a client's steps, made where the cache holds it until it is used.
#pragma once

#include "keystream.h"
#include "noise.h"

// Rounded normals in the order of the parameters, from the begin of a client's stream on: those that
// `Stream.normal` gives when each step asks for as many as it trains. As whole numbers of int32:
// they end at 10.2 deviations.
struct Noise {
  static constexpr int PAIRS = 1024;  // whose words stay in the first-level cache
  Keystream stream;
  double deviation;
  uint64_t word = 0;         // of the stream, the next one
  int64_t left = 0;          // numbers of this step that are still to be made
  size_t at = 0, end = 0;    // what is made and not taken yet
  Room<int32_t> made;

  Noise(const uint8_t* key, double deviation, size_t most) : stream(key), deviation(deviation) {
    made.hold(most + NOISE_BLOCK + 2 * LANES);  // vectors read beyond the end
  }

  // the next numbers, as many as the constructor's `most` at most
  const int32_t* take(size_t count) {
    if (end - at < count) {
      memmove(made.data(), made.data() + at, (end - at) * 4);
      end -= at, at = 0;
      while (end < count) make();
    }
    at += count;
    return made.data() + at - count;
  }
  void make() {
    uint64_t space[2][PAIRS + Keystream::MORE];
    int size = left < NOISE_BLOCK ? int(left) : NOISE_BLOCK, pairs = (size + 1) / 2;
    for (int j = 0; j < pairs; j += PAIRS) {
      int count = pairs - j < PAIRS ? pairs - j : PAIRS;
      const uint64_t* radii = stream.words(word + j, count, space[0]);
      const uint64_t* angles = stream.words(word + pairs + j, count, space[1]);
      int32_t* to = made.data() + end + j;
      rounded_normals(radii, angles, count, deviation, to, to + pairs);
    }
    word += 2 * pairs, end += size, left -= size;
  }
};
