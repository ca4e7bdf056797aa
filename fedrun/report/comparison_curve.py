"""The course of a group: the mean over its runs in each round, and a band around it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from fedrun.core.option import ConfigError
from fedrun.report.collect_lines import Line
from fedrun.report.comparison import Comparison, Group
from fedrun.report.comparison_measure import DOWN, EPSILON, SECONDS, UP
from fedrun.report.statistics import quantile

Band = Literal["interval", "range"]
Numbers = npt.NDArray[np.float64]
AXES = {
    "rounds": "round",
    "bytes": "MB sent, up and down",
    "seconds": "simulated seconds",
    "epsilon": "privacy budget spent (epsilon)",
}


@dataclass(frozen=True)
class Curve:
    """`x`, `mean`, `low` and `high` per round that all `n` runs have scored; without a band, as of
    one run, `low` and `high` are the mean."""

    name: str
    n: int
    x: Numbers
    mean: Numbers
    low: Numbers
    high: Numbers
    cut: bool  # some run was scored in rounds that another has not


def curves(comparison: Comparison, axis: str, band: Band) -> list[Curve]:
    """A curve for each group; ConfigError where the axis was not recorded, or no round is shared.

    Against bytes, seconds and epsilon, x is the mean over the runs too.
    """
    found = [curve(group, comparison.metric, axis, band) for group in comparison.groups]
    there = [each for each in found if each is not None]
    if not there:
        raise ConfigError(
            f"--x {axis}: none of these runs has recorded {AXES[axis]} in rounds that its group "
            f"shares"
        )
    return there


def curve(group: Group, metric: str, axis: str, band: Band) -> Curve | None:
    runs = [_points(run.lines, metric, axis) for run in group.runs]
    shared = sorted(set.intersection(*(set(run) for run in runs)))
    if not shared:
        return None
    x = np.array([[run[at][0] for at in shared] for run in runs])
    y = np.array([[run[at][1] for at in shared] for run in runs])
    middle = y.mean(axis=0)
    if len(runs) == 1:
        low = high = middle
    elif band == "range":
        low, high = y.min(axis=0), y.max(axis=0)
    else:
        half = quantile(len(runs) - 1) * y.std(axis=0, ddof=1) / np.sqrt(len(runs))
        low, high = middle - half, middle + half
    cut = any(len(run) > len(shared) for run in runs)
    return Curve(group.name, len(runs), x.mean(axis=0), middle, low, high, cut)


def _points(lines: Sequence[Line], metric: str, axis: str) -> dict[float, tuple[float, float]]:
    """By round: x and y, where both were recorded."""
    found = {}
    for line in lines:
        x = _x(line, axis)
        if x is not None and metric in line:
            found[line["round"]] = (x, line[metric])
    return found


def _x(line: Line, axis: str) -> float | None:
    if axis == "rounds":
        return line["round"]
    if axis == "bytes":
        there = UP in line or DOWN in line
        return (line.get(UP, 0) + line.get(DOWN, 0)) / 1e6 if there else None
    if axis == "epsilon":
        return line.get(EPSILON)
    return next((line[name] for name in SECONDS if name in line), None)
