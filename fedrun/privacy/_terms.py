"""The terms of a guarantee: who is neighbour to whom, under which noise, and resting on what."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from fedrun.core.option import ConfigError
from fedrun.core.privacy import Claim, Event, Relation, Sampling, Unit

Rng = Literal["seeded", "secure"]

SEEDED = "noise and cohorts follow from the seed: no protection from anyone who knows it"
PUBLIC = "test data, the number of clients, and all of the config are taken for public"
DIAGNOSTICS = "privacy.leaky_diagnostics: figures beside the guarantee were written without noise"
TUNING = "choosing among runs, or the best round of one, is not accounted for"
NOISE_KEPT = "checkpoints hold the noise that later rounds are made with: they are secret"
HIDDEN = (
    "checkpoints, partition files, privacy.json and time/* tell who came or what clients hold: "
    "they are the simulation's own records and not released"
)


@dataclass(frozen=True)
class Simulated:
    """A larger federation, whose noise is scaled down to this cohort's size."""

    sampling: Sampling
    scale: float


def relation_of(
    sampling: Sampling, asked: Relation | None, coins: Relation = "add_remove"
) -> Relation:
    """As asked; else the one that the sampling's theorem is about, which of coins is `coins`."""
    if asked is not None:
        return asked
    return {"poisson": coins, "fixed": "replace_one"}.get(sampling.scheme, "zero_out")


def noise_asked(noise_multiplier: float | None, target_epsilon: float | None) -> None:
    """Refuse both or neither."""
    if (noise_multiplier is None) == (target_epsilon is None):
        both = noise_multiplier is not None
        raise ConfigError(
            f"privacy.noise_multiplier and privacy.target_epsilon "
            f"{'both say how much noise there is' if both else 'are both null'}; give one of them, "
            f"the other as null"
        )


def target_of(target_epsilon: float | None, releases: int) -> tuple[float, int] | None:
    """What `calibrated` has made the noise for."""
    return None if target_epsilon is None else (target_epsilon, releases)


def calibrated(
    event: Callable[[float], Event],
    noise_multiplier: float | None,
    target_epsilon: float | None,
    delta: float,
    relation: Relation,
    releases: int,
) -> float:
    """The noise multiplier as given, or the least whose epsilon after so many releases is within
    the target."""
    noise_asked(noise_multiplier, target_epsilon)
    if noise_multiplier is not None:
        return noise_multiplier
    if not releases:
        raise ConfigError("privacy.target_epsilon has no effect with rounds=0; set rounds")
    from fedrun.accounting import least_noise

    assert target_epsilon is not None
    return least_noise(event, target_epsilon, releases=releases, delta=delta, relation=relation)


def simulated(sampling: Sampling, cohort: int | None, population: int | None) -> Simulated | None:
    """The federation that is simulated, drawn by coins."""
    if (cohort is None) != (population is None):
        raise ConfigError(
            "privacy.simulated_cohort and privacy.simulated_population belong together; give both "
            "or neither"
        )
    if cohort is None or population is None:
        return None
    if cohort > population:
        raise ConfigError(
            f"privacy.simulated_cohort={cohort} is more than "
            f"privacy.simulated_population={population}"
        )
    if cohort < sampling.cohort:
        raise ConfigError(
            f"privacy.simulated_cohort={cohort} is less than the {sampling.cohort:g} clients of a "
            f"round here; a smaller cohort needs no simulating"
        )
    larger = Sampling(scheme="poisson", population=population, cohort=cohort)
    return Simulated(larger, sampling.cohort / cohort)


def claim_of(
    unit: Unit,
    relation: Relation,
    delta: float,
    trust: str,
    rng: Rng,
    leaky: bool,
    *caveats: str,
) -> Claim:
    told = [PUBLIC, *caveats, TUNING]
    if rng == "seeded":
        told.insert(0, SEEDED)
    if leaky:
        told.insert(0, DIAGNOSTICS)
    return Claim(unit=unit, relation=relation, delta=delta, trust=trust, caveats=tuple(told))


def larger_event(event: Event, larger: Simulated | None) -> Event | None:
    """The event in the federation that is simulated."""
    if larger is None:
        return None
    noise = event.noise_multiplier / larger.scale
    return replace(event, sampling=larger.sampling, noise_multiplier=noise)
