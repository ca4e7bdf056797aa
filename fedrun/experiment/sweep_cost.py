"""What the cells of a sweep cost: client updates, and seconds where finished siblings tell."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Any

from fedrun.experiment.sweep import Cell


def cohort(values: dict[str, Any]) -> int | None:
    """Clients of a round; None where only the data say how many clients there are."""
    count, asked, unseen = (values["clients"][key] for key in ("count", "per_round", "unseen"))
    if isinstance(asked, int):
        return int(asked)
    if count is None:
        return None
    left = count - (len(unseen) if isinstance(unseen, list) else round(unseen * count))
    return int(max(1, round(asked * left)))


def updates(cell: Cell) -> int | None:
    """Client updates of the whole run: rounds times the clients of a round."""
    clients = cohort(cell.job.composed.values)
    return None if clients is None else cell.rounds * clients


def seconds(cell: Cell, cells: Sequence[Cell]) -> float | None:
    """Seconds that the rest of a cell will take, by those finished ones that have most in common.

    None where none is finished. What a process needs to start comes on top.
    """
    done = [each for each in cells if each.status == "finished" and each.round]
    if not done:
        return None
    alike = [sum(word in each.swept for word in cell.swept) for each in done]
    near = [each for each, common in zip(done, alike, strict=True) if common == max(alike)]
    own = cohort(cell.job.composed.values) or 1
    paces = [
        each.figures["time/seconds"] / each.round / (cohort(each.job.composed.values) or 1)
        for each in near
    ]
    return fmean(paces) * own * (cell.rounds - cell.round)
