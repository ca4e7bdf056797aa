"""Windows of a text as examples, and a text cut by time."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from fedrun.core.dataset import Array, Split

LATER = "leave it out: the data's own test set is other text"
"""For `Dataset.own_tests`, where windows begin before the one before them ends."""


@dataclass(frozen=True)
class Windows:
    """token: int64 [N, length + 1]; client: int64 [N]."""

    token: Array
    client: Array

    def __len__(self) -> int:
        return len(self.token)

    def split(self, task: str) -> Split:
        """All but the last token as input; what follows each of them (tokens), or the last."""
        target = self.token[:, 1:] if task == "tokens" else self.token[:, -1]
        x = np.ascontiguousarray(self.token[:, :-1])
        return Split(x, np.ascontiguousarray(target), self.client)


def windows(token: Array, length: int, stride: int) -> Array:
    """int64 [N, length + 1]: every stride-th of the windows that fit."""
    if len(token) <= length:
        return np.empty((0, length + 1), np.int64)
    return np.lib.stride_tricks.sliding_window_view(token, length + 1)[::stride].copy()


def halves(text: str, test_fraction: float) -> tuple[str, str]:
    """(first lines, last lines), the last rounded up to at least one; one line alone trains.

    >>> halves("a\\nb\\nc", 0.2)
    ('a\\nb', 'c')
    """
    lines = text.split("\n")
    # 0.07 * 100 is 7.000000000000001, which must not become 8.
    cut = max(len(lines) - math.ceil(round(test_fraction * len(lines), 9)), 1)
    return "\n".join(lines[:cut]), "\n".join(lines[cut:])
