"""Tables of `fedrun budget`: the same releases over other cohorts, noise, or targets."""

from __future__ import annotations

from dataclasses import replace
from math import floor, log10, sqrt
from typing import TYPE_CHECKING, Any

from fedrun.core.option import ConfigError

if TYPE_CHECKING:
    from fedrun.core.privacy import Event

Account = list[tuple[Any, int]]
INTERVAL = 1e-3  # of PLD's grid: still an upper bound, off by less than what is shown


def rows(over: str, account: Account, answer: dict[str, Any]) -> list[dict[str, Any]]:
    """A row for each value: noise_multiplier, cohort, epsilon by accountant."""
    event: Event = max(account, key=lambda pair: pair[1])[0]
    if not event.noise_multiplier:
        raise ConfigError(
            f"--table {over} needs noise that can be varied; {event.mechanism} has none here"
        )
    if over == "cohort":
        return over_cohorts(account, event, answer)
    if over == "noise":
        factors = (0.25, 0.35, 0.5, 0.7, 1, 1.4, 2, 2.8, 4, 5.6, 8)
        return [row(scaled(account, factor), answer) for factor in factors]
    return over_targets(account, answer)


def over_cohorts(account: Account, event: Event, answer: dict[str, Any]) -> list[dict[str, Any]]:
    population, cohort = answer["sampling"]["population"], answer["sampling"]["cohort"]
    if population is None:
        raise ConfigError("--table cohort needs population= and cohort=, not a bare sampling_rate=")
    if event.sampling.scheme == "full":
        raise ConfigError(
            "--table cohort has no effect on full participation; take another sampling="
        )
    found = []
    for size in round_sizes(cohort, population):
        sampling = replace(event.sampling, cohort=size)
        other = [
            (replace(e, sampling=sampling) if e.sampling == event.sampling else e, count)
            for e, count in account
        ]
        try:
            found.append(row(other, answer))
        except ConfigError:  # such as bands that so large a cohort cannot keep apart
            continue
    return found


def round_sizes(cohort: float, population: int) -> list[float]:
    """1, 2, 5, 10, 20, ... around the cohort, and the cohort itself."""
    low = floor(log10(max(cohort / 30, 1)))
    sizes = {float(d * 10**power) for power in range(low, low + 4) for d in (1, 2, 5)}
    near = {size for size in sizes if cohort / 30 <= size <= min(population, 30 * cohort)}
    return sorted(int(size) if size == int(size) else size for size in near | {cohort})


def over_targets(account: Account, answer: dict[str, Any]) -> list[dict[str, Any]]:
    from fedrun.accounting.calibrate import least_noise_of

    delta, relation = answer["delta"], answer["relation"]
    found = []
    for target in (0.5, 1.0, 2.0, 4.0, 8.0, 16.0):
        factor = least_noise_of(
            lambda z: scaled(account, z), target, delta=delta, relation=relation, quick=True
        )
        found.append({"target_epsilon": target, **row(scaled(account, factor), answer)})
    return found


def row(account: Account, answer: dict[str, Any]) -> dict[str, Any]:
    from fedrun.accounting import bounds

    as_told = [{**event.to_json(), "count": count} for event, count in account] == answer["events"]
    interval = {} if as_told else {"interval": INTERVAL}  # the row that stands above once more
    found = bounds(account, answer["delta"], answer["relation"], **interval)
    event = max(account, key=lambda pair: pair[1])[0]
    told = answer["sampling"]["population"] is not None
    cohort = event.sampling.cohort if told else None
    noisy: float | None = None
    if cohort is not None and answer["parameters"] and event.mechanism == "gaussian":
        noisy = event.noise_multiplier * sqrt(answer["parameters"]) / cohort
    return {
        "cohort": cohort,
        "rate": event.sampling.rate,
        "noise_multiplier": event.noise_multiplier,
        "epsilon": {bound.accountant: bound.epsilon for bound in found},
        "best": found[0].epsilon,
        "noise_norm": noisy,
    }


def scaled(account: Account, factor: float) -> Account:
    from fedrun.accounting import with_noise

    return with_noise(account, factor)
