"""What a figure may be called, as far as it can be told before any data or PyTorch is loaded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from fedrun.core.metric import evaluated, trained
from fedrun.core.option import ConfigError
from fedrun.experiment.factory import is_plugin
from fedrun.experiment.suggest import did_you_mean, nearest

REST = (
    "train/examples", "clients/ok", "clients/rejected", "clients/dropped",
    "comm/up_bytes", "comm/down_bytes",
    "privacy/epsilon", "privacy/epsilon_simulated", "privacy/leaky", "privacy/clip_norm",
    "time/train_seconds", "time/round_seconds", "time/seconds",
)  # fmt: skip
NAMED = ("client/", "personal/")  # has figures of single clients: client/accuracy@NAME
OWN = ("protocol", "privacy")  # a user's own may measure what it likes


def check_metric(
    metric: str | None, choices: Iterable[Mapping[str, str]], said: str = "--metric "
) -> None:
    """ConfigError for the name of a figure that no run has; whether these runs have it depends on
    their data. choices: those of each run; said: what stands before the name where it was given."""
    if metric is None or any(is_plugin(each.get(group, "")) for each in choices for group in OWN):
        return
    known = measurable()
    figure, at, name = metric.partition("@")
    if metric not in known and not (at and name and figure in named()):
        near = did_you_mean(nearest(metric, known)) or f" (known: {', '.join(known)})"
        raise ConfigError(f"{said}{metric} is no figure that is measured{near}")


def measurable() -> list[str]:
    """Every figure's name, of classes and of numbers, but those of single clients."""
    scored = [
        name
        for accuracy in (True, False)
        for name in evaluated(accuracy, objective=True, personal=True, unseen=True)
    ]
    return list(dict.fromkeys([*scored, *trained(has_accuracy=True), *REST]))


def named() -> list[str]:
    return [f"{prefix}{figure}" for prefix in NAMED for figure in ("accuracy", "loss")]
