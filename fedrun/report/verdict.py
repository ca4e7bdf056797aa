"""Many runs' figures against a published number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from statistics import mean, stdev

from fedrun.core.metric import is_better
from fedrun.report.baseline import Band, Expect
from fedrun.report.figure import Figure, Protocol, read_protocol, worth

WITHIN, OUTSIDE, NOT_REACHED, FAILED = "within", "OUTSIDE", "not reached", "failed"
MEASURED = "measured"  # nothing is published to compare with


@dataclass(frozen=True)
class Judged:
    """`values` are in the seeds' order, None where a target was not reached; `mean` and `sd`
    (N - 1) are over seeds, None where they cannot be had; `words`: the verdict with its why."""

    values: list[float | None]
    mean: float | None
    sd: float | None
    verdict: str
    words: str

    @property
    def holds(self) -> bool:
        """Whether nothing speaks against it."""
        return self.verdict in (WITHIN, MEASURED)


def judge(expect: Expect, own: Sequence[Figure], other: Sequence[Figure] | None = None) -> Judged:
    """The verdict over seeds; `other` are the figures of the baseline compared with."""
    values = [figure.value for figure in own]
    if other is not None:
        values = [_paired(expect, a.value, b.value) for a, b in zip(own, other, strict=True)]
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        rounds = min(figure.rounds for figure in own)
        return _unreached(expect, values, rounds, other is not None)
    middle = mean(known)
    spread = stdev(known) if len(known) > 1 else None
    if expect.band is None:
        return Judged(values, middle, spread, MEASURED, MEASURED)
    if not is_within(middle, expect.band):
        return Judged(values, middle, spread, OUTSIDE, OUTSIDE)
    if expect.each is not None:
        outside = [v for v in known if not is_within(v, expect.each)]
        if outside:
            words = f"{OUTSIDE}: {len(outside)} of {len(known)} seeds"
            return Judged(values, middle, spread, OUTSIDE, words)
    return Judged(values, middle, spread, WITHIN, WITHIN)


def failed(count: int, why: str) -> Judged:
    """The verdict where a run that is needed has failed."""
    return Judged([None] * count, None, None, FAILED, f"{FAILED}: {why}")


def best(settings: Sequence[Sequence[Figure] | None], metric: str, protocol: Protocol) -> int:
    """Which setting counts: the best mean over seeds; None is one whose runs have failed."""
    sign = -1 if protocol.counts_rounds else is_better(metric)

    def rank(place: int) -> tuple[int, float]:
        figures = settings[place]
        if figures is None:
            return -1, 0.0
        reached = [figure.value for figure in figures if figure.value is not None]
        middle = mean(reached) if reached else inf
        return len(reached), worth(sign, middle)

    return max(range(len(settings)), key=rank)


def is_within(value: float, band: Band) -> bool:
    low, high = band
    return (low is None or value >= low) and (high is None or value <= high)


def _paired(expect: Expect, own: float | None, other: float | None) -> float | None:
    if own is None or other is None or (expect.over and other == 0):
        return None
    return own / other if expect.over else own - other


def _unreached(expect: Expect, values: list[float | None], rounds: int, paired: bool) -> Judged:
    """A target that some seed did not reach: within the band only where it says 'at least' a
    number of rounds that were run in vain."""
    missed = sum(value is None for value in values)
    of = "" if missed == len(values) else f" ({missed} of {len(values)} seeds)"
    words = f"{NOT_REACHED} in {rounds} round{'s' * (rounds != 1)}{of}"
    low, high = expect.band or [None, None]
    late = [rounds if value is None else value for value in values]
    counts = read_protocol(expect.protocol).counts_rounds and not paired and not expect.each
    if counts and high is None and low is not None and mean(late) >= low:
        return Judged(values, None, None, WITHIN, f"{WITHIN}: {words}")
    return Judged(values, None, None, NOT_REACHED, words)
