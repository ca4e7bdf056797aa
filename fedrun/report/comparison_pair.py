"""Two groups of a comparison against each other, seed by seed.

Runs that share a seed share the partition, the first weights and the cohorts: their difference is
freed of that, so a paired test sees what two means with their intervals would hide.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from fedrun.core.option import ConfigError
from fedrun.experiment.suggest import did_you_mean, nearest
from fedrun.report.comparison import Comparison, Group
from fedrun.report.statistics import Paired, paired


@dataclass(frozen=True)
class Pair:
    """The first group's figure minus the second's over the seeds that both have."""

    first: Group
    second: Group
    seeds: list[int]
    result: Paired

    @property
    def cautions(self) -> list[str]:
        found, n = [], self.result.difference.n
        if self.result.is_few:
            found.append(
                f"caution: {n} seeds are few; the t test rests on differences that are normal, "
                f"which {n} numbers cannot show"
            )
        if self.result.least_p > 0.05:
            found.append(
                f"with {n} seeds the exact test cannot give less than p = {self.result.least_p:g}"
            )
        return found


def automatic(comparison: Comparison) -> Pair | None:
    """The pair where there are just two groups that share two seeds or more, and all figures."""
    if len(comparison.groups) != 2:
        return None
    first, second = comparison.groups
    if len(_shared(first, second)) < 2:
        return None
    return _pair(first, second)


def asked(comparison: Comparison, names: tuple[str, str]) -> Pair:
    """The pair of these two groups; ConfigError where they cannot be told or share no two seeds."""
    first, second = (named(comparison, name) for name in names)
    if first is second:
        raise ConfigError(f"--paired: {names[0]!r} and {names[1]!r} are the same group")
    shared = _shared(first, second)
    if len(shared) < 2:
        raise ConfigError(
            f"--paired: {first.name} and {second.name} share {len(shared)} seeds with a figure; "
            f"a paired test needs 2 at least"
        )
    return _pair(first, second)


def named(comparison: Comparison, name: str) -> Group:
    """The one group that all words of `name` fit: `fedprox`, `algorithm.mu=0.1`, or its label."""
    groups, labels = comparison.groups, [group.name for group in comparison.groups]
    found = [group for group in groups if group.name == name]
    found = found or [group for group in groups if _fits(group, name.split())]
    if len(found) == 1:
        return found[0]
    if found:
        several = ", ".join(repr(group.name) for group in found)
        raise ConfigError(f"--paired: {name!r} fits {len(found)} groups: {several}; say more")
    near = did_you_mean(nearest(name, labels))
    known = ", ".join(repr(label) for label in labels)
    raise ConfigError(f"--paired: there is no group {name!r}{near} (groups: {known})")


def _fits(group: Group, words: Sequence[str]) -> bool:
    texts = {*group.texts.values(), *(f"{key}={text}" for key, text in group.texts.items())}
    return bool(words) and all(word in texts for word in words)


def _shared(first: Group, second: Group) -> list[int]:
    return sorted(by_seed(first).keys() & by_seed(second).keys())


def by_seed(group: Group) -> dict[int, float]:
    """Each seed's figure; the mean of its runs where other keys are averaged over. A seed whose
    target was not reached has none."""
    values: dict[int, list[float | None]] = {}
    for run in group.runs:
        if run.record.seed is not None:
            values.setdefault(run.record.seed, []).append(run.numbers["value"])
    return {
        seed: fmean(value for value in found if value is not None)
        for seed, found in values.items()
        if None not in found
    }


def _pair(first: Group, second: Group) -> Pair:
    seeds, one, two = _shared(first, second), by_seed(first), by_seed(second)
    return Pair(first, second, seeds, paired([one[s] for s in seeds], [two[s] for s in seeds]))
