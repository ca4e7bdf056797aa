"""What an audit found, and the plan that it must stick to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from math import isfinite
from typing import Any, Literal

from fedrun.core.dataset import Array
from fedrun.core.option import ConfigError
from fedrun.experiment.build import Experiment

CONFIDENCE = 0.95
MANY = 1000
ALL_BUT = 0.95

Change = Callable[[Experiment], Experiment]
"""What is audited in the place of the federation that the config describes; the claim stays."""

Told = Callable[[int, int], None]
"""(round, of so many), after each."""


@dataclass(frozen=True)
class Audit:
    """What was measured, and what is claimed.

    measured: a lower bound on epsilon, at `confidence`; most: the largest one that so many guesses
    could have shown; gaussian: the bound if the mechanism is Gaussian, which is an assumption;
    estimate: one-shot, no bound, None where the update is not that of the model alone.
    black_box: as measured, by one who sees the final model alone; None where nobody looked.
    """

    unit: str
    canaries: int
    inside: int
    guesses: int
    right: int
    confidence: float
    measured: float
    most: float
    claimed: float
    delta: float
    relation: str
    gaussian: float
    estimate: float | None
    rounds: int
    seeded: bool
    black_box: float | None = None

    @property
    def verdict(self) -> Literal["consistent", "violated"]:
        return "violated" if self.measured > self.claimed else "consistent"

    def to_json(self) -> dict[str, Any]:
        finite = {
            name: None if isinstance(value, float) and value == float("inf") else value
            for name, value in asdict(self).items()
        }
        return {**finite, "verdict": self.verdict}


@dataclass(frozen=True)
class Plan:
    """How many guesses to make about how many canaries, and whether also that some are out (two
    sides); fixed before anything is trained."""

    canaries: int
    guesses: int
    sides: int


def planned(canaries: int, claimed: float, delta: float, chance: float) -> Plan:
    """The plan for this claim. chance: that a canary that is in is ever drawn, on average."""
    from fedrun.accounting import empirical

    if not isfinite(claimed):
        raise ConfigError(
            "a mechanism without noise claims no epsilon, and so there is nothing to refute; set "
            "privacy.noise_multiplier"
        )
    # Who was never drawn looks like one who is out: then nobody is taken for being out.
    sides = 1 if chance < ALL_BUT else 2
    guesses = empirical.planned_guesses(canaries, claimed, delta, CONFIDENCE, sides, chance)
    return Plan(canaries, guesses, sides)


def held_against(
    honest: Experiment,
    plan: Plan,
    claimed: float,
    seen: Array,
    coins: Array,
    *,
    estimate: float | None = None,
    losses: Array | None = None,
) -> Audit:
    """The audit's result.

    seen: float [m], how much of each canary was seen; coins: bool [m], who was in; losses: float
    [m], by how much the loss of each fell, where that was looked at.
    """
    from fedrun.accounting import empirical

    claim = honest.privacy.claim
    assert claim
    found = plan.canaries, claim.delta, CONFIDENCE

    def right(scores: Array) -> int:
        return empirical.right_guesses(scores, coins, plan.guesses, plan.sides)

    def measured(right: int) -> float:
        return empirical.one_run(plan.guesses, right, *found)

    return Audit(
        unit=claim.unit,
        canaries=plan.canaries,
        inside=int(coins.sum()),
        guesses=plan.guesses,
        right=right(seen),
        confidence=CONFIDENCE,
        measured=measured(right(seen)),
        most=measured(plan.guesses),
        claimed=claimed,
        delta=claim.delta,
        relation=claim.relation,
        gaussian=empirical.gaussian_one_run(plan.guesses, right(seen), *found),
        estimate=estimate,
        rounds=honest.settings.rounds,
        seeded=honest.privacy.repeats,
        black_box=None if losses is None else measured(right(losses)),
    )
