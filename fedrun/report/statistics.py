"""What can be said of a few numbers: their mean with its interval, and one set against another.

The interval is Student's: the mean plus or minus t(0.975, n - 1) sd / sqrt(n). Two methods are set
against each other seed by seed, by Student's paired t test and by Wilcoxon's signed-rank test
(Biometrics Bulletin 1945), whose p is exact here: the share of all 2**n ways of giving signs to
the ranks that are at least as far out. Ties get the mean of their ranks; pairs that do not differ
are left out, as Wilcoxon did.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import mean, stdev

import numpy as np

LEVEL = 0.95
DIGITS = 12  # differences that agree so far are the same: 0.3 - 0.2 and 0.2 - 0.1
FEW = 5  # seeds below which a test says little


@dataclass(frozen=True)
class Spread:
    """`sd` has n - 1 below it; with `low` and `high`, the interval of the mean, it is None for one
    number."""

    n: int
    mean: float
    sd: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Paired:
    """First minus second, over n pairs. `t_p` is None where all differences are the same, which
    leaves Student's test nothing to measure by; `least_p`: the smallest that n pairs can give the
    exact test."""

    difference: Spread
    t: float | None
    t_p: float | None
    exact_p: float
    least_p: float

    @property
    def is_few(self) -> bool:
        return self.difference.n < FEW


def spread(values: Sequence[float]) -> Spread:
    """
    >>> spread([1.0, 2.0, 3.0]).sd
    1.0
    """
    n, middle = len(values), mean(values)  # exact: the mean of equal numbers is that number
    if n == 1:
        return Spread(1, middle)
    sd = stdev(values)
    half = quantile(n - 1) * sd / sqrt(n)
    return Spread(n, middle, sd, middle - half, middle + half)


def quantile(freedom: int) -> float:
    """Student's t that `LEVEL` of its distribution lies within, on both sides of 0."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, (1 + LEVEL) / 2))


def paired(first: Sequence[float], second: Sequence[float]) -> Paired:
    """Two sets of at least two numbers, of which those at the same place belong together."""
    pairs = list(zip(first, second, strict=True))
    scale = max(abs(value) for pair in pairs for value in pair) or 1.0
    differences = [round((a - b) / scale, DIGITS) * scale for a, b in pairs]
    found = spread(differences)
    t, p = _student(found)
    return Paired(found, t, p, signed_rank(differences), 2.0 ** (1 - len(pairs)))


def _student(difference: Spread) -> tuple[float | None, float | None]:
    from scipy.special import stdtr

    if not difference.sd:
        return None, None
    t = difference.mean / (difference.sd / sqrt(difference.n))
    return t, float(2 * stdtr(difference.n - 1, -abs(t)))


def signed_rank(differences: Sequence[float]) -> float:
    """The exact two-sided p of Wilcoxon's test.

    >>> signed_rank([0.1, 0.2, 0.3])
    0.25
    """
    left = np.array([difference for difference in differences if difference])
    if not len(left):
        return 1.0
    ranks = doubled_ranks(np.abs(left))
    # ways[s]: the share of all ways of giving signs in which the positive ranks sum up to s
    ways = np.zeros(int(ranks.sum()) + 1)
    ways[0] = 1.0
    for rank in ranks:
        ways[rank:] = (ways[rank:] + ways[: len(ways) - rank]) / 2
        ways[:rank] /= 2
    positive = int(ranks[left > 0].sum())
    one_sided = min(ways[: positive + 1].sum(), ways[positive:].sum())
    return min(1.0, 2 * float(one_sided))


def doubled_ranks(sizes: np.typing.NDArray[np.float64]) -> np.typing.NDArray[np.int64]:
    """Twice the ranks from 1 up, so that the mean rank of ties is whole too.

    >>> doubled_ranks(np.array([5.0, 1.0, 5.0])).tolist()
    [5, 2, 5]
    """
    near = np.round(sizes / sizes.max(), DIGITS)
    _, place, count = np.unique(near, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    return np.asarray((2 * last - count + 1)[place], dtype=np.int64)
