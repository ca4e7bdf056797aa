"""What an attack shows of a mechanism: lower bounds on epsilon from guesses about canaries.

A canary is in or out by a fair coin; whoever sees only what the mechanism releases guesses the
coins. If the guesses are better than an (epsilon, delta) guarantee allows, the guarantee is false.

Steinke, Nasr, Jagielski, "Privacy auditing with one (1) training run", NeurIPS 2023 (`one_run`).
Mahloujifar, Melis, Chaudhuri, "Auditing f-differential privacy in one run", 2024, algorithms 2 and
3 (`gaussian_one_run`). Jagielski, Ullman, Oprea, "Auditing differentially private machine
learning", NeurIPS 2020 (`many_runs`). Nasr et al., "Tight auditing of differentially private
machine learning", USENIX Security 2023 (`gaussian_many_runs`). Andrew et al., "One-shot empirical
privacy estimation for federated learning", ICLR 2024 (`one_shot`).

m canaries; r guesses; v right ones; mu: distance of the two normals of a Gaussian mechanism, 1 / z.

The number of guesses must not be chosen with the coins in sight: the best of many r is no bound.
`planned_guesses` fixes it before anything runs, from the claim alone.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from math import ceil, inf, log, sqrt

import numpy as np
from scipy.special import expit, ndtr, ndtri
from scipy.stats import beta, binom

from fedrun.accounting.gaussian import gaussian_epsilon
from fedrun.core.dataset import Array

MOST = 64.0  # no number of canaries that fits a machine shows a larger epsilon


def one_run(
    guesses: int, correct: int, canaries: int, delta: float, confidence: float = 0.95
) -> float:
    """The largest epsilon that the guesses of one run refute; 0 where they refute none.

    Holds for every mechanism and any number of guesses fixed without a look at the coins. With
    delta 0 it is the logit of the Clopper-Pearson bound of correct / guesses.

    >>> round(one_run(100, 100, 100, 0.0), 4)
    3.493
    """
    _check(correct, guesses, canaries)
    return _largest(
        lambda epsilon: one_run_p(epsilon, guesses, correct, canaries, delta) <= 1 - confidence
    )


def one_run_p(epsilon: float, guesses: int, correct: int, canaries: int, delta: float) -> float:
    """At most so likely are this many right guesses, or more, under (epsilon, delta)."""
    at_least = binom.sf(np.arange(-1, correct), guesses, expit(epsilon))  # [v]: v or more are right
    tail = float(at_least[correct])
    if not correct or not delta:
        return min(1.0, tail)
    fewer = np.arange(1, correct + 1)
    gain = (at_least[correct - fewer] - tail) / fewer
    return min(1.0, tail + 2 * canaries * delta * float(gain.max()))


def gaussian_one_run(
    guesses: int, correct: int, canaries: int, delta: float, confidence: float = 0.95
) -> float:
    """The epsilon at `delta` of the least noisy Gaussian mechanism that the guesses refute.

    Sharper than `one_run`, but it speaks of Gaussian mechanisms alone: a bound under that
    assumption, and so labelled wherever it is shown.
    """
    _check(correct, guesses, canaries)
    unlikely = 1 - confidence
    mu = _largest(lambda mu: not _is_consistent(mu, guesses, correct, canaries, unlikely))
    return epsilon_of(mu, delta)


def many_runs(
    runs_in: int,
    found: int,
    runs_out: int,
    mistaken: int,
    delta: float,
    confidence: float = 0.95,
) -> float:
    """The bound from independent runs with one canary: of those with it, so many were found; of
    those without, so many were mistaken for one. Each rate has half of what may go wrong."""
    found_low, _ = clopper_pearson(found, runs_in, confidence)
    _, mistaken_high = clopper_pearson(mistaken, runs_out, confidence)
    ratios = [
        (found_low - delta) / mistaken_high if mistaken_high else inf,
        (1 - mistaken_high - delta) / (1 - found_low) if found_low < 1 else inf,
    ]
    return max(0.0, *(log(ratio) for ratio in ratios if ratio > 0))


def gaussian_many_runs(
    runs_in: int,
    found: int,
    runs_out: int,
    mistaken: int,
    delta: float,
    confidence: float = 0.95,
) -> float:
    """The same for Gaussian mechanisms alone: sharper, and a bound under that assumption only."""
    found_low, _ = clopper_pearson(found, runs_in, confidence)
    _, mistaken_high = clopper_pearson(mistaken, runs_out, confidence)
    mu = float(ndtri(1 - mistaken_high) - ndtri(1 - found_low))
    return epsilon_of(mu, delta)


def clopper_pearson(hits: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """The exact interval of a rate, half of what may go wrong on either side."""
    _check(hits, trials, trials)
    tail = (1 - confidence) / 2
    low = float(beta.ppf(tail, hits, trials - hits + 1)) if hits else 0.0
    high = float(beta.ppf(1 - tail, hits + 1, trials - hits)) if hits < trials else 1.0
    return low, high


def one_shot(cosines: Array, dimension: int, delta: float) -> float:
    """An estimate, not a bound: epsilon from the cosines between canaries that were in and the
    final model's difference from the first.

    cosines: [canaries]; without any effect they are N(0, 1/dimension). Canaries' cosines are taken
    to have that same variance (of the mean alone is estimated, which needs ten times fewer
    canaries), so mu = mean * sqrt(dimension), and epsilon is that of a Gaussian mechanism with it.
    """
    return epsilon_of(float(np.mean(cosines)) * sqrt(dimension), delta)


def epsilon_of(mu: float, delta: float) -> float:
    """The exact epsilon at `delta` of two normals `mu` standard deviations apart; mu <= 0 is 0."""
    return gaussian_epsilon(1 / mu, delta) if mu > 0 else 0.0


def right_guesses(scores: Array, coins: Array, guesses: int, sides: int = 2) -> int:
    """How many are right of so many guesses: the highest scores are taken for canaries that are in,
    the lowest, as many, for canaries that are out. Of equal scores the earlier canary is lower.

    scores: float [m]; coins: bool [m], the truth; sides: 1 guesses "in" alone.
    """
    order, below = np.argsort(scores, kind="stable"), guesses // 2 if sides == 2 else 0
    outs, ins = order[:below], order[len(order) - (guesses - below) :]
    return int(coins[ins].sum() + (~coins[outs]).sum())


@cache
def planned_guesses(
    canaries: int,
    epsilon: float,
    delta: float,
    confidence: float = 0.95,
    sides: int = 2,
    seen: float = 1.0,
) -> int:
    """How many guesses to make, fixed before any run: the number that would prove the most if the
    mechanism were Gaussian and lost all of its claim, among those that could refute the claim:
    with one in twenty wrong, or else with all right.

    seen: the chance that a canary that is in is ever drawn. Some are always passed over: a few more
    or a few less than half of the coins say "in".
    """
    spare = ceil(3 * sqrt(canaries))
    most = max(1, canaries - spare if sides == 2 else int(canaries * seen - spare) // 2)
    if not 0 < epsilon < MOST:
        return most
    mu = _largest(lambda mu: epsilon_of(mu, delta) < epsilon, 2 * MOST)
    numbers = np.unique(np.geomspace(min(10, most), most, 24).round().astype(int)).tolist()

    def shown(guesses: int, part: float) -> float:
        return one_run(guesses, int(part * guesses), canaries, delta, confidence)

    for part in (0.95, 1.0):
        able = [number for number in numbers if shown(number, part) > epsilon]
        if able:
            right = {n: _right(mu, min(1.0, n / canaries * 2 / sides)) for n in able}
            return int(max(able, key=lambda number: (shown(number, right[number]), number)))
    return most


def _right(mu: float, share: float) -> float:
    """How many of the guesses are right that are made for the most certain scores of this share."""
    far = _largest(lambda far: _share(mu, far) > share, mu + 10)
    return float(ndtr(mu / 2 - far)) / _share(mu, far)


def _share(mu: float, far: float) -> float:
    """How many scores lie so far from the middle, or farther, on either side."""
    return float(ndtr(mu / 2 - far) + ndtr(-mu / 2 - far))


def _is_consistent(mu: float, guesses: int, correct: int, canaries: int, unlikely: float) -> bool:
    """Whether a Gaussian mechanism may let so many guesses be right (Mahloujifar et al. 2024,
    algorithms 2 and 3 with two choices; h and r are theirs)."""
    scale = unlikely / canaries
    r, h = scale * correct, scale * (guesses - correct)
    for i in range(correct - 1, -1, -1):
        before, h = h, max(h, float(ndtr(ndtri(r) - mu)))
        r += i / (guesses - i) * (h - before)
        if r + h > guesses / canaries:
            return False
    return True


def _largest(is_below: Callable[[float], bool], high: float = MOST) -> float:
    """Where a condition that holds below some number ceases to hold, from below; 0 where never."""
    low = 0.0
    for _ in range(60):
        middle = (low + high) / 2
        if is_below(middle):
            low = middle
        else:
            high = middle
    return low


def _check(part: int, whole: int, limit: int) -> None:
    if not 0 <= part <= whole <= limit or not whole:
        raise ValueError(f"{part} of {whole} (at most {limit}) are no counts")
