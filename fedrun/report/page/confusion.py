"""Which class is taken for which: a table of numbers where they fit, else a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from fedrun.report.page.held import printable, shaded
from fedrun.report.page.palette import SHADES
from fedrun.report.page.svg import element, picture, shortened

Array = npt.NDArray[Any]
MOST_NUMBERS = 15  # classes
MOST_PAIRS = 10


@dataclass(frozen=True)
class Cell:
    count: int
    step: int  # of shade, by the share of its true class


@dataclass(frozen=True)
class Confusion:
    """`runs`: how many were counted together; `rows` of cells, or `picture` where they are many;
    `pairs`: true class, predicted class and how often, the most frequent mistakes first."""

    classes: list[str]
    runs: int
    examples: int
    rows: list[list[Cell]]
    picture: Markup | None
    pairs: list[tuple[str, str, int]]


def confusion(name: str, title: str, classes: Sequence[str], found: Sequence[Array]) -> Confusion:
    """Of runs that have the same classes; int64 [classes, classes] each, true classes down."""
    counts = np.sum(found, axis=0)
    names = [printable(one) for one in classes]
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    steps = np.ceil(share * SHADES - 1e-9).astype(int)
    few = len(names) <= MOST_NUMBERS
    rows = [
        [Cell(int(count), int(step)) for count, step in zip(*line, strict=True)]
        for line in zip(counts, steps, strict=True)
    ]
    return Confusion(
        names, len(found), int(counts.sum()), rows if few else [],
        None if few else _picture(name, title, names, steps), _pairs(counts, names),
    )  # fmt: skip


def _pairs(counts: Array, names: Sequence[str]) -> list[tuple[str, str, int]]:
    wrong = np.where(np.eye(len(counts), dtype=bool), 0, counts).ravel()
    order = np.argsort(-wrong, kind="stable")[:MOST_PAIRS]
    return [
        (names[cell // len(names)], names[cell % len(names)], int(wrong[cell]))
        for cell in order.tolist()
        if wrong[cell] > 0
    ]


def _picture(name: str, title: str, names: Sequence[str], steps: Array) -> Markup:
    left, top, room = 110.0, 8.0, 440.0
    wide = room / len(names)
    every = max(1, int(-(-14 // wide)))
    inside = [element("rect", class_="empty", x=left, y=top, width=room, height=room)]
    inside += shaded(steps, left, top, wide, wide)
    for at in range(0, len(names), every):
        place = top + wide * (at + 0.5) + 4
        inside.append(
            element("text", shortened(names[at], 14), x=left - 8, y=place, text_anchor="end")
        )
    middle = left + room / 2
    inside.append(element("text", "predicted class, in the same order", class_="name", x=middle,
                          y=top + room + 18, text_anchor="middle"))  # fmt: skip
    words = "Rows are true classes, columns predicted ones; darker: a larger share of the row."
    return picture(name, title, words, (560.0, top + room + 30), *inside, class_="square")
