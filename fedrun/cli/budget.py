"""`fedrun budget`: epsilon before anything runs, or the noise for one."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from math import isfinite
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from fedrun.cli.budget_numbers import KEYS, NUMBERS, SHARED
from fedrun.cli.completion import complete
from fedrun.cli.errors import told
from fedrun.core.bound import upwards
from fedrun.core.option import ConfigError

if TYPE_CHECKING:
    from fedrun.accounting import Bound
    from fedrun.core.privacy import Event

Kind = Literal["cohort", "noise", "epsilon"]


def complete_numbers(incomplete: str) -> list[str]:
    """Candidates: the plain numbers, then what belongs to a config."""
    found = [f"{key}=" for key in KEYS if key.startswith(incomplete)] if incomplete else []
    return [*found, *complete(incomplete)]


def budget(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[KEY=VALUE]...",
            help="Plain numbers (sampling_rate noise_multiplier rounds delta; or population cohort "
            "sampling relation mechanism restart bands classes epsilon parameters), or a config as "
            "for train. target_epsilon= gives the noise instead.",
            autocompletion=complete_numbers,
            show_default=False,
        ),
    ] = None,
    table: Annotated[
        Kind | None,
        typer.Option(help="Epsilon over cohort sizes or noise, or noise over target epsilons."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, no table.")] = False,
) -> None:
    """Say what a run will spend, (epsilon, delta), before anything runs.

    As in: fedrun budget sampling_rate=0.01 noise_multiplier=1.1 rounds=1000 delta=1e-5
    """
    with told():
        answer = reply(words or [], table)
        if as_json:
            json.dump(plain(answer), sys.stdout, indent=2, allow_nan=False)
            print()
            return
        from fedrun.cli.budget_view import show

        show(answer)


def reply(words: Sequence[str], table: Kind | None) -> dict[str, Any]:
    """The answer as plain values; infinite stays a float until it is printed."""
    if is_plain(words):
        from fedrun.cli.budget_numbers import read_numbers

        asked = read_numbers(words)
        account = [(asked.event, asked.rounds)]
        common = asked.delta, asked.relation, asked.target, asked.parameters
        answer, account = answered(account, *common, told_size=asked.told_size)
    else:
        answer, account = of_config(words)
    if table is not None:
        from fedrun.cli.budget_table import rows

        answer["table"] = {"over": table, "rows": rows(table, account, answer)}
    return answer


def is_plain(words: Sequence[str]) -> bool:
    """Plain numbers, or a config; a `ConfigError` for a mixture."""
    keys = [word.partition("=")[0] for word in words]
    mine = [key for key in keys if key in (*NUMBERS, "relation", "mechanism", "sampling")]
    only = [key for key in mine if key not in SHARED]
    others = [key for key in keys if key not in mine]
    if not only:
        return False
    if not others:
        return True
    from fedrun.experiment import choices

    groups = choices.groups()
    config = [key for key in others if "." in key or key[:1] in "+~" or key in (*groups, "config")]
    if config:
        raise ConfigError(
            f"{only[0]}= is a plain number and {config[0]}= belongs to a config; "
            "give one or the other"
        )
    return True


def answered(
    account: list[tuple[Event, int]],
    delta: float,
    relation: Any,
    target: float | None,
    parameters: int | None,
    *,
    told_size: bool = True,
    unit: str = "client",
) -> tuple[dict[str, Any], list[tuple[Event, int]]]:
    """What these releases spend; with a target, what they would with the least noise for it."""
    from fedrun.accounting import bounds, refused, with_noise
    from fedrun.accounting.advice import advice
    from fedrun.accounting.calibrate import least_noise_of

    factor = None
    if target is not None:
        only_answers = all(event.mechanism == "randomized_response" for event, _ in account)
        if only_answers or not any(event.noise_multiplier for event, _ in account):
            raise ConfigError(
                f"target_epsilon={target:g} has no effect where there is no noise to "
                "choose; set a noise multiplier that it may scale"
            )
        scaled = lambda z: with_noise(account, z)  # noqa: E731
        factor = least_noise_of(scaled, target, delta=delta, relation=relation)
        account = with_noise(account, factor)
    found = bounds(account, delta, relation)
    event, _ = main_event(account)
    noise = event.noise_multiplier if event.mechanism == "gaussian" else 0.0
    size = (event.sampling.cohort, event.sampling.population) if told_size else (None, None)
    # What is told of a cohort's size is about clients; the steps of `example` draw batches.
    advised = (*size, parameters) if unit == "client" else (None, None, None)

    def noise_for(epsilon: float) -> float:
        again = least_noise_of(
            lambda z: with_noise(account, z), epsilon, delta=delta, relation=relation, quick=True
        )
        return event.noise_multiplier * again

    answer = {
        **said(found),
        "delta": delta,
        "relation": relation,
        "mechanism": event.mechanism,
        "noise_multiplier": event.noise_multiplier,
        "rounds": sum(count for other, count in account if other == event),
        "sampling": {
            "scheme": event.sampling.scheme,
            "rate": event.sampling.rate,
            "population": size[1],
            "cohort": size[0],
        },
        "parameters": parameters,
        "events": [{**other.to_json(), "count": count} for other, count in account],
        "accountants": {bound.accountant: bound.version for bound in found},
        "refused": refused(account, relation),
        "warnings": advice(found[0].epsilon, delta, noise, *advised, noise_for),
    }
    if target is not None:
        answer["target_epsilon"] = target
    return answer, account


def said(found: Sequence[Bound]) -> dict[str, Any]:
    best = found[0]
    order = sorted(found, key=lambda bound: ["pld", "rdp", "exact", "pure"].index(bound.accountant))
    return {
        "epsilon": {bound.accountant: bound.epsilon for bound in order},
        "best": {"accountant": best.accountant, "epsilon": best.epsilon},
    }


def main_event(account: Sequence[tuple[Event, int]]) -> tuple[Event, int]:
    """The release that comes most often."""
    return max(account, key=lambda pair: pair[1])


def of_config(words: Sequence[str]) -> tuple[dict[str, Any], list[tuple[Event, int]]]:
    """What a run of this config would spend."""
    from fedrun.accounting import bounds, worst_bounds
    from fedrun.cli.arguments import compose_arguments
    from fedrun.cli.budget_numbers import number
    from fedrun.cli.collector import at_work

    asked = [word for word in words if word.startswith("target_epsilon=")]
    target = number(*asked[-1].split("=", 1)) if asked else None  # type: ignore[arg-type]
    composed = compose_arguments([word for word in words if word not in asked])

    from fedrun.experiment.forecast import forecast

    at_work()
    plan = forecast(composed.values)
    if plan.claim is None:
        raise ConfigError("this config promises no privacy, and so spends none; take "
                          "privacy=central or another, or give plain numbers")  # fmt: skip
    claim = plan.claim
    accounts = [account for account in plan.accounts if account]
    if not accounts:
        raise ConfigError("this config releases nothing; set rounds")

    worst, _ = worst_bounds(accounts, claim.delta, claim.relation)
    answer, account = answered(
        list(worst), claim.delta, claim.relation, target, plan.parameters, unit=claim.unit
    )
    answer |= {"unit": claim.unit, "trust": claim.trust, "caveats": list(claim.caveats)}
    if plan.simulated:
        larger = bounds(plan.simulated, claim.delta, "add_remove")
        answer["simulated"] = {
            **said(larger),
            "events": [{**event.to_json(), "count": count} for event, count in plan.simulated],
        }
        answer["warnings"].append(
            f"epsilon {upwards(larger[0].epsilon)} is that of the larger federation that is "
            f"simulated; this run's own is {upwards(answer['best']['epsilon'])}"
        )
    return answer, account


def plain(value: Any) -> Any:
    """As JSON has it: infinity has no number there."""
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    return "infinite" if isinstance(value, float) and not isfinite(value) else value
