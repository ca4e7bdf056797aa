"""A published epsilon, computed again: no run is made, an accountant adds up.

Papers differ by half in what they print for the same noise, as each bound was converted in the way
of its day. So the way stands beside the number: `conversion`, `orders`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from fedrun.core.option import Count, above, between
from fedrun.experiment import bind

METRIC = "privacy/epsilon"
WHOLE = range(2, 65)
OPTIONAL = {
    "sampling_rate": None, "cohort": None, "population": None, "accountant": "rdp",
    "conversion": "classic", "orders": "all",
}  # fmt: skip
NEEDLESS = ("protocol", "seeds", "cost", "tune", "each", "minus", "over")


@dataclass(frozen=True, kw_only=True)
class Accounting:
    """So many rounds of Gaussian noise on the sum of a cohort drawn by coins; add_remove.

    sampling_rate: the chance to take part in a round (null: cohort over population)
    cohort: so many take part on average, or are in a batch
    population: of so many
    noise_multiplier: standard deviation of the noise on the sum, in clip norms
    rounds: releases, or steps
    delta: the chance that epsilon says nothing about
    accountant: rdp or pld
    conversion: of rdp, from Renyi to epsilon: classic (before 2020) or today
    orders: of rdp: whole numbers only, as the moments accountant had them, or all
    """

    sampling_rate: Annotated[float, between(0, 1, open_low=True)] | None
    cohort: Count | None
    population: Count | None
    noise_multiplier: Annotated[float, above(0)]
    rounds: Count
    delta: Annotated[float, between(0, 1, open_low=True, open_high=True)]
    accountant: Literal["rdp", "pld"]
    conversion: Literal["classic", "today"]
    orders: Literal["all", "whole"]


def read_accounting(expect: Mapping[str, Any]) -> tuple[Accounting | None, list[str]]:
    """`expect.accounting`, and a sentence for each thing that is wrong about it."""
    given = expect["accounting"]
    if not isinstance(given, Mapping):
        return None, ["expect.accounting is a set of keys, such as {sampling_rate: 0.01, "
                      "noise_multiplier: 4, rounds: 10000, delta: 1e-5}"]  # fmt: skip
    problems = [
        f"expect.{key} has no effect beside expect.accounting, which makes no runs"
        for key in NEEDLESS
        if key in expect
    ]
    if expect.get("metric", METRIC) != METRIC:
        problems.append(f"expect.accounting gives {METRIC}; leave expect.metric out")
    usual = OPTIONAL | ({"conversion": "today"} if given.get("accountant") == "pld" else {})
    converted, wrong = bind.examine("expect.accounting", Accounting, {**usual, **given})
    problems += wrong
    if problems:
        return None, problems
    accounting = Accounting(**converted)
    return accounting, _problems(accounting)


def compute(accounting: Accounting) -> float:
    """The epsilon, an upper bound as the paper's accountant would have it."""
    from fedrun.accounting import epsilon
    from fedrun.core.privacy import Event, Sampling

    population, cohort = accounting.population or 1, accounting.cohort or accounting.sampling_rate
    assert cohort is not None
    drawn = Sampling(scheme="poisson", population=population, cohort=cohort)
    event = Event(sampling=drawn, noise_multiplier=accounting.noise_multiplier)
    orders: Sequence[float] | None = WHOLE if accounting.orders == "whole" else None
    return epsilon(
        [(event, accounting.rounds)],
        accounting.delta,
        "add_remove",
        accounting.accountant,
        conversion=accounting.conversion,
        orders=orders,
    )


def versions() -> dict[str, str]:
    """What the number rests on."""
    from importlib.metadata import version

    import fedrun

    return {"fedrun": fedrun.__version__, "dp-accounting": version("dp-accounting")}


def _problems(accounting: Accounting) -> list[str]:
    cohort, population = accounting.cohort, accounting.population
    found = []
    if (cohort is None) != (population is None):
        found.append("expect.accounting.cohort and .population belong together; give both")
    elif (accounting.sampling_rate is None) == (cohort is None):
        found.append("expect.accounting needs sampling_rate, or cohort and population: one of them")
    elif cohort is not None and population is not None and cohort > population:
        found.append(f"expect.accounting.cohort={cohort} is more than population={population}")
    if accounting.accountant == "pld" and (
        accounting.orders != "all" or accounting.conversion != "today"
    ):
        found.append("expect.accounting.conversion and .orders belong to accountant=rdp")
    return found
