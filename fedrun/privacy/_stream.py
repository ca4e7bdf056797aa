"""Secret random numbers: AES-256 in counter mode, a key of its own for each purpose.

A key of 32 bytes stands for the whole run. SHA-256 of it with a purpose, a round and a client keys
one stream, so no two of them share a number, none tells anything of another, and nothing has to be
saved. The words of a stream become uniforms of 53 bits, and normals by Box and Muller ("A note on
the generation of random normal deviates", 1958). The 22 bits of two words that their uniforms leave
over go on with the radius, where it is large: with 53 bits its circles are whole steps of a fine
grid apart there, and a pair between two of them tells a sum from its neighbour (of 1,600,000
numbers once in 100,000 releases). They end at 10.2 standard deviations.
"""

from __future__ import annotations

import hashlib
import os
from math import pi
from typing import Literal, get_args

import numpy as np
import torch
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from torch import Tensor

from fedrun.core.dataset import Array
from fedrun.core.privacy import Purpose, Stream, Streams


def streams(rng: Literal["seeded", "secure"], seed: int) -> Streams:
    """(purpose, round, client) -> its stream, from its begin on: ask once for each.

    seeded: the same numbers for the same seed, to the bit, and so no secret from who knows it;
    secure: 32 bytes of the system's entropy, new at every call and nowhere but in memory.
    """
    if rng == "secure":
        key = os.urandom(32)
    else:
        key = hashlib.sha256(f"fedrun/1|privacy|{seed}".encode()).digest()

    def stream(purpose: Purpose, round: int, client: int) -> Stream:
        assert purpose in get_args(Purpose), purpose
        text = f"|{purpose}|{int(round)}|{int(client)}"
        return _Stream(hashlib.sha256(key + text.encode()).digest())

    return stream


class _Stream:
    """The keystream of one key, read from its begin to wherever the last call came."""

    def __init__(self, key: bytes) -> None:
        self.key = key
        self._cipher = Cipher(algorithms.AES(key), modes.CTR(bytes(16))).encryptor()

    def words(self, count: int) -> Array:
        """uint64 [count]: the next words of the keystream."""
        result = np.empty(count, "<u8")
        room = result.data.cast("B")
        for start in range(0, len(room), len(_ZEROS)):
            part = room[start : start + len(_ZEROS)]
            self._cipher.update_into(_ZEROS[: len(part)], part)
        return result.astype(np.uint64, copy=False)

    def uniform(self, count: int) -> Array:
        """float64 [count] in [0, 1): the top 53 bits of each word."""
        result = np.empty(count)
        for start in range(0, count, _WORDS):
            part = result[start : start + _WORDS]
            np.multiply(self._words(len(part)) >> np.uint64(11), 2.0**-53, out=part)
        return result

    def normal(self, count: int) -> Tensor:
        """float64 [count], standard normal.

        They are made in pairs: where the count is odd, the last one of the last pair is dropped.
        """
        pairs = (count + 1) // 2
        result = torch.empty(2 * pairs, dtype=torch.float64)
        # Blocks stay in the cache, and are too small for PyTorch to share among threads; so the
        # bits do not depend on how many there are.
        for start in range(0, 2 * pairs, _WORDS):
            block = result[start : start + _WORDS]
            bits = torch.from_numpy(self._words(len(block)).view(np.int64))
            first, second = bits.bitwise_and(2047).chunk(2)
            fine = first.mul_(2048).add_(second).add_(1).double().mul_(2.0**-75)
            block.copy_(bits.bitwise_right_shift_(11).bitwise_and_(2**53 - 1))
            radius, angle = block.chunk(2)
            # (k + 1) / 2^75 is in (0, 1], whose logarithm is finite
            radius.mul_(2.0**-53).add_(fine).log_().mul_(-2).sqrt_()
            angle.mul_(2 * pi * 2.0**-53)
            sine = angle.sin().mul_(radius)
            radius.mul_(angle.cos_())
            angle.copy_(sine)
        return result[:count]

    def _words(self, count: int) -> Array:
        """uint64 [count]: the next words of the keystream, little-endian on every machine."""
        words = np.empty(count, "<u8")
        self._cipher.update_into(_ZEROS[: 8 * count], words.data.cast("B"))
        return words.astype(np.uint64, copy=False)


_WORDS = 8192
"""Words of a block; even, so that pairs stay together."""

_ZEROS = memoryview(bytes(8 * _WORDS))
