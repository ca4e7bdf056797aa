"""The empirical audit of a config, whatever its mechanism protects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fedrun.core.option import ConfigError
from fedrun.experiment.audit_canary import of_clients
from fedrun.experiment.audit_example import of_examples
from fedrun.experiment.audit_local import of_labels, of_messages
from fedrun.experiment.audit_result import Audit, Change, Told
from fedrun.experiment.build import build_from, hold


def audit(
    values: Mapping[str, Any],
    number: int | None = None,
    change: Change = lambda experiment: experiment,
    told: Told = lambda round, of: None,
) -> Audit:
    """Put so many canaries in by fair coins, and guess the coins from what an observer sees.

    number: null: 1,000, or fewer where there is no room for them. change, told: see `audit_result`.
    """
    values = {
        **values,
        "evaluate": {"every": 0, "objective": False},
        "stop": dict.fromkeys(values["stop"]),
    }
    held = hold(values)
    honest = build_from(values, held)
    privacy, choice = honest.privacy, f"privacy={values['privacy']['name']}"
    if privacy.claim is None:
        raise ConfigError(
            f"{choice} claims nothing, and so there is nothing to audit; choose a mechanism, such "
            f"as privacy=central"
        )
    if privacy.streams is None:
        raise ConfigError(
            f"{choice} names no streams of secret numbers (Privacy.streams), from which an audit "
            f"draws its canaries"
        )
    if privacy.layer is not None and privacy.event is not None:
        return of_clients(values, honest, number, change, told)
    if privacy.steps is not None and privacy.own is not None:
        return of_examples(values, held, honest, number, change, told)
    if privacy.layer is not None and privacy.own is not None:
        return of_messages(honest, number, change, told)
    if privacy.answers is not None and privacy.once is not None:
        return of_labels(honest, number, change)
    raise ConfigError(
        f"{choice} noises neither sums, local steps, messages nor labels, and nothing else can be "
        f"audited; choose a mechanism, such as privacy=central"
    )
