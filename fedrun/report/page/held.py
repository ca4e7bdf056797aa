"""Who held what: labels by clients as a picture, from the run directory's partition files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from fedrun.core.option import RunError
from fedrun.experiment.files import read_json
from fedrun.report.page.palette import SHADES
from fedrun.report.page.svg import element, path, picture, shortened

Array = npt.NDArray[Any]
MOST_CLIENTS = 200  # across
MOST_LINES = 40  # of labels; more stand together in equal groups
WIDTH, TOP, BOTTOM = 760.0, 8.0, 44.0


@dataclass(frozen=True)
class Held:
    """`counts`: int64 [clients, classes] training rows, of the first clients where there are many;
    `sizes`: int64 [clients], of all; no classes where examples have none."""

    rule: str
    names: list[str]
    classes: list[str]
    counts: Array
    sizes: Array

    @property
    def summary(self) -> str:
        low, middle, high = int(self.sizes.min()), np.median(self.sizes), int(self.sizes.max())
        total = int(self.sizes.sum())
        return (
            f"{len(self.sizes):,} clients hold {total:,} training examples: "
            f"the smallest {low:,}, the median {middle:,.10g}, the largest {high:,}."
        )


def read_held(run: Path) -> Held:
    """RunError where the files are damaged."""
    facts = read_json(run / "partition.json")
    try:
        count, classes = int(facts["clients"]), [str(name) for name in facts["classes"]]
        if isinstance(facts.get("train"), list):
            whole = np.array(facts["train"], np.int64).reshape(count, -1)
            counts, sizes = whole[:MOST_CLIENTS], whole.sum(axis=1)
        else:
            try:
                counts, sizes = _cells(run, count, len(classes) or 1)
            except (LookupError, TypeError, ValueError, OSError, BadZipFile) as error:
                raise RunError(f"{run / 'partition.npz'} is damaged: {error!r}") from error
        names = [str(name) for name in facts.get("names", range(count))[:MOST_CLIENTS]]
        if len(counts) != len(names) or counts.shape[1] not in (1, len(classes)):
            raise ValueError(f"counts of shape {counts.shape}")
        if not len(sizes):
            raise ValueError("it has no clients")
        known = classes if counts.shape[1] == len(classes) else []
        return Held(str(facts["rule"]), names, known, counts, sizes)
    except (LookupError, TypeError, ValueError) as error:
        raise RunError(f"{run / 'partition.json'} is damaged: {error!r}") from error


def _cells(run: Path, count: int, classes: int) -> tuple[Array, Array]:
    """From client, class and rows of each cell that has any."""
    content = BytesIO((run / "partition.npz").read_bytes())  # NumPy leaves a bad zip open
    with np.load(content, allow_pickle=False) as arrays:
        client, label, rows = arrays["train_cells"].T.astype(np.int64)
    sizes = np.bincount(client, rows, count).astype(np.int64)
    shown = client < MOST_CLIENTS
    counts = np.zeros((min(count, MOST_CLIENTS), classes), np.int64)
    counts[client[shown], label[shown]] = rows[shown]
    return counts, sizes


def held_picture(name: str, held: Held) -> Markup:
    """Labels down and clients across, darker for more rows; without labels a bar for each."""
    if not held.classes:
        return _bars(name, held)
    grid, lines = grouped_classes(held)
    left = min(max(len(line) for line in lines), 18) * 6.9 + 14
    wide = min((WIDTH - left - 4) / len(held.names), 46.0)
    high = min(20.0, max(9.0, 360 / len(lines)))
    steps = -(-grid * SHADES // max(int(grid.max()), 1))
    inside = [
        element("rect", class_="empty", x=left, y=TOP, width=wide * len(held.names),
                height=high * len(lines))
    ]  # fmt: skip
    inside += shaded(steps.T, left, TOP, wide, high)
    inside += [
        element("text", shortened(line, 18), x=left - 8, y=TOP + high * (at + 0.5) + 4,
                text_anchor="end")
        for at, line in enumerate(lines)
        if high >= 12 or at % 2 == 0
    ]  # fmt: skip
    base = TOP + high * len(lines)
    inside += _clients(held, left, wide, base)
    words = f"Training examples of each label at each client. {held.summary}"
    size = (WIDTH, base + BOTTOM)
    return picture(name, f"Who holds what: {held.rule}", words, size, *inside, class_="held")


def grouped_classes(held: Held) -> tuple[Array, list[str]]:
    """The counts by lines of the picture, and the lines' names."""
    classes = len(held.classes)
    each = -(-classes // MOST_LINES)
    names = [printable(name) for name in held.classes]
    lines = [
        names[low] if each == 1 else f"{names[low]} to {names[min(low + each, classes) - 1]}"
        for low in range(0, classes, each)
    ]
    return np.add.reduceat(held.counts, np.arange(0, classes, each), axis=1), lines


def printable(name: str) -> str:
    """A line break or a blank (next-character data) is spelled out."""
    return name if name.isprintable() and name.strip() else repr(name)


def shaded(steps: Array, left: float, top: float, wide: float, high: float) -> list[Markup]:
    """Cells by their step of shade, all of one step as one path; of step 0 none.

    steps: int [lines, columns].
    """
    found = []
    for step in range(1, SHADES + 1):
        at = np.argwhere(steps == step)
        if not len(at):
            continue
        corners = [(left + column * wide, top + line * high) for line, column in at.tolist()]
        shape = f"h{wide - 0.5:.4g}v{high - 0.5:.4g}h-{wide - 0.5:.4g}z"
        found.append(
            element("path", class_=f"shade{step}", d="".join(path([c]) + shape for c in corners))
        )
    return found


def _clients(held: Held, left: float, wide: float, base: float) -> list[Markup]:
    """Names under the columns, as many as there is room for, and what stands there."""
    longest = min(max(map(len, held.names)), 12) * 6.7 + 10
    every = max(1, int(-(-longest // wide)))
    inside = [
        element("text", shortened(held.names[at], 12), x=left + wide * (at + 0.5), y=base + 16,
                text_anchor="middle")
        for at in range(0, len(held.names), every)
    ]  # fmt: skip
    shown, count = len(held.names), len(held.sizes)
    words = "client" if shown == count else f"client, the first {shown:,} of {count:,}"
    middle = left + wide * shown / 2
    return [
        *inside,
        element("text", words, class_="name", x=max(middle, left + 30), y=base + 37,
                text_anchor="middle"),
    ]  # fmt: skip


def _bars(name: str, held: Held) -> Markup:
    sizes: Sequence[int] = held.counts.sum(axis=1).tolist()
    left, high = 54.0, 120.0
    wide = min((WIDTH - left - 4) / len(sizes), 46.0)
    most, base = max(*sizes, 1), TOP + high
    inside = [
        element("rect", class_="shade8", x=left + wide * at, y=base - high * size / most,
                width=max(wide - 1, 0.5), height=high * size / most)
        for at, size in enumerate(sizes)
    ]  # fmt: skip
    inside += [
        element("text", f"{most:,}", x=left - 8, y=TOP + 10, text_anchor="end"),
        element("text", "0", x=left - 8, y=base, text_anchor="end"),
        *_clients(held, left, wide, base),
    ]
    words = f"Training examples at each client. {held.summary}"
    size = (WIDTH, base + BOTTOM)
    return picture(name, f"Who holds how much: {held.rule}", words, size, *inside, class_="held")
