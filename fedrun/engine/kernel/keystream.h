// AES-256 in counter mode from counter 0 on (FIPS 197; NIST SP 800-38A), by the processor's own
// instructions, whose time does not depend on the key: up to four blocks in a vector, and eight
// vectors abreast, as each round waits for the one before.
#pragma once

#include "doubles.h"

#if !defined(__AES__)
#error "this processor has no AES instructions"
#endif

#if defined(__VAES__) && defined(__AVX512BW__)
constexpr int BLOCKS = 4;
typedef __m512i Blocks;
static inline Blocks encrypt(Blocks s, Blocks k) { return _mm512_aesenc_epi128(s, k); }
static inline Blocks encrypt_last(Blocks s, Blocks k) { return _mm512_aesenclast_epi128(s, k); }
static inline Blocks shuffle(Blocks s, Blocks to) { return _mm512_shuffle_epi8(s, to); }
#elif defined(__VAES__) && defined(__AVX2__)
constexpr int BLOCKS = 2;
typedef __m256i Blocks;
static inline Blocks encrypt(Blocks s, Blocks k) { return _mm256_aesenc_epi128(s, k); }
static inline Blocks encrypt_last(Blocks s, Blocks k) { return _mm256_aesenclast_epi128(s, k); }
static inline Blocks shuffle(Blocks s, Blocks to) { return _mm256_shuffle_epi8(s, to); }
#else
constexpr int BLOCKS = 1;
typedef __m128i Blocks;
static inline Blocks encrypt(Blocks s, Blocks k) { return _mm_aesenc_si128(s, k); }
static inline Blocks encrypt_last(Blocks s, Blocks k) { return _mm_aesenclast_si128(s, k); }
static inline Blocks shuffle(Blocks s, Blocks to) { return _mm_shuffle_epi8(s, to); }
#endif

struct Keystream {
  static constexpr int ROUNDS = 14, AT_ONCE = 8 * BLOCKS, MORE = 2 * AT_ONCE;
  typedef uint64_t Longs __attribute__((vector_size(16 * BLOCKS)));
  Blocks keys[ROUNDS + 1], order;  // order: of a counter's bytes, which are big-endian
  Longs first, step;               // counters of a vector's blocks, and the next block's more

  explicit Keystream(const uint8_t* key) {
    uint32_t w[4 * (ROUNDS + 1)], constant = 1;
    memcpy(w, key, 32);
    for (int i = 8; i < 4 * (ROUNDS + 1); i++) {
      uint32_t last = w[i - 1];
      if (i % 4 == 0) last = substituted(last);
      if (i % 8 == 0) last = (last >> 8 | last << 24) ^ constant, constant <<= 1;
      w[i] = w[i - 8] ^ last;
    }
    for (int r = 0; r <= ROUNDS; r++)
      for (int i = 0; i < BLOCKS; i++) memcpy((char*)&keys[r] + 16 * i, w + 4 * r, 16);
    for (int i = 0; i < BLOCKS; i++) {
      first[2 * i] = uint64_t(i), first[2 * i + 1] = 0;
      step[2 * i] = 1, step[2 * i + 1] = 0;
      for (int byte = 0; byte < 16; byte++) ((uint8_t*)&order)[16 * i + byte] = uint8_t(15 - byte);
    }
  }

  // The words from this one on, at the address that comes back; `space` is for `count` of them and
  // MORE.
  const uint64_t* words(uint64_t from, int count, uint64_t* space) const {
    Longs at = first + uint64_t(from / 2) * step;
    const int odd = int(from % 2);
    for (int done = 0; done < count + odd; done += 2 * AT_ONCE) {
      Blocks s[8];
      for (Blocks& one : s) {
        one = (Blocks)((Longs)shuffle((Blocks)at, order) ^ (Longs)keys[0]);
        at += BLOCKS * step;
      }
      for (int r = 1; r < ROUNDS; r++)
        for (Blocks& one : s) one = encrypt(one, keys[r]);
      for (int i = 0; i < 8; i++)
        store_as(space + done + 2 * BLOCKS * i, encrypt_last(s[i], keys[ROUNDS]));
    }
    return space + odd;
  }

 private:
  // The S-box of each byte: in four equal columns the last round's shift of rows changes nothing.
  static uint32_t substituted(uint32_t word) {
    __m128i state = _mm_aesenclast_si128(_mm_set1_epi32(int(word)), _mm_setzero_si128());
    return uint32_t(_mm_cvtsi128_si32(state));
  }
};
