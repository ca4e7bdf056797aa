"""Every random number comes from a counter, never from a state.

`generator(seed, stream, round, client)` is a pure function of its arguments: SHA-256 of them keys a
Philox generator (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011). So a run
that was killed repeats itself with nothing saved, and neither the order of the calls nor the number
of workers can change a draw. A stream is named for its purpose and serves no other.
"""

from __future__ import annotations

import hashlib
from typing import Literal

import numpy as np

Stream = Literal["partition", "cohort", "batch", "layer"]
"""partition: who holds what; cohort: who takes part; batch: the order of a client's examples;
layer: what the model itself draws while it trains (dropout). First weights are
PyTorch's own business."""


def key(seed: int, stream: Stream, round: int = 0, client: int = 0) -> int:
    """128 bits that belong to this purpose, round and client alone."""
    text = f"fedrun/1|{seed}|{stream}|{round}|{client}".encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:16], "little")


def generator(seed: int, stream: Stream, round: int = 0, client: int = 0) -> np.random.Generator:
    """The random stream of one purpose in one round at one client.

    >>> a, b = generator(1, "batch", 3, 7), generator(1, "batch", 3, 7)
    >>> bool((a.permutation(9) == b.permutation(9)).all())
    True
    """
    return np.random.Generator(np.random.Philox(key=key(seed, stream, round, client)))


def torch_seed(seed: int, stream: Stream, round: int = 0, client: int = 0) -> int:
    """A 63-bit seed for code that can only draw from PyTorch's own generator."""
    return key(seed, stream, round, client) >> 65
