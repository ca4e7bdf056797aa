"""A line for each group on one axis: single values as dots, a bar from low to high, the middle."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from fedrun.report.page.svg import element, path, picture, tick_texts, ticks

WIDTH, TOP, BOTTOM, GAP = 760.0, 8.0, 40.0, 14.0
LETTER = 7.1  # a letter's width, near enough
FEW = 12  # dots that stand on one line; more are moved up and down, by so many steps:
JITTER = 3


@dataclass(frozen=True)
class Row:
    """`dots`: single values; `bar` and `middle`: a mean with its interval, or, of a `spread`, the
    median with the worst and the best."""

    name: str
    short: str
    look: int | None
    dots: Sequence[float] = ()
    bar: tuple[float, float] | None = None
    middle: float | None = None
    spread: bool = False

    @property
    def values(self) -> list[float]:
        return [*self.dots, *(self.bar or ()), *([] if self.middle is None else [self.middle])]


def rows_picture(name: str, title: str, words: str, rows: Sequence[Row], across: str) -> Markup:
    """The picture of rows that have a value at least; `across` stands at the axis."""
    high = 26.0 if max(len(row.dots) for row in rows) <= FEW else 38.0
    left = max(len(row.short) for row in rows) * LETTER + GAP + 4
    low, most = _range(rows)
    base = TOP + high * len(rows)

    def place(value: float) -> float:
        return left + (value - low) / (most - low) * (WIDTH - GAP - left)

    inside = []
    values = ticks(low, most, 8)
    for value, text in zip(values, tick_texts(values), strict=True):
        x = place(value)
        inside.append(element("path", class_="grid", d=path([(x, TOP), (x, base)])))
        inside.append(element("text", text, x=x, y=base + 18, text_anchor="middle"))
    inside.append(element("path", class_="axis", d=path([(left, base), (WIDTH - GAP, base)])))
    middle = (left + WIDTH - GAP) / 2
    inside.append(element("text", across, class_="name", x=middle, y=base + BOTTOM - 5,
                          text_anchor="middle"))  # fmt: skip
    for at, row in enumerate(rows):
        inside.append(_row(row, TOP + high * (at + 0.5), high, left, place))
    return picture(name, title, words, (WIDTH, base + BOTTOM), *inside, class_="rows")


def _range(rows: Sequence[Row]) -> tuple[float, float]:
    values = [value for row in rows for value in row.values]
    low, high = min(values), max(values)
    margin = 0.03 * ((high - low) or abs(high) or 1.0)
    return low - margin, high + margin


def _row(row: Row, y: float, high: float, left: float, place: Callable[[float], float]) -> Markup:
    look = "other" if row.look is None else f"look{row.look + 1}"
    inside = [
        element("title", row.name),
        element("text", row.short, x=left - GAP, y=y + 4, text_anchor="end"),
    ]
    if row.bar is not None:
        a, b = (place(value) for value in row.bar)
        if row.spread:
            inside.append(element("path", class_="span", d=path([(a, y), (b, y)])))
        else:
            ends = [path([(x, y - 5), (x, y + 5)]) for x in (a, b)]
            inside.append(element("path", class_="line", d=path([(a, y), (b, y)]) + "".join(ends)))
    for at, value in enumerate(row.dots):
        step = 0.0
        if len(row.dots) > FEW:
            step = (at % (2 * JITTER + 1) - JITTER) * (high / 2 - 6) / JITTER
        inside.append(element("circle", class_="dot", cx=place(value), cy=y + step, r=3))
    if row.middle is not None:
        x = place(row.middle)
        if row.spread:
            shape = path([(x, y - high / 2 + 4), (x, y + high / 2 - 4)])
            inside.append(element("path", class_="middle", d=shape))
        else:
            shape = path([(x, y - 6), (x + 6, y), (x, y + 6), (x - 6, y)]) + "Z"
            inside.append(element("path", class_="diamond", d=shape))
    return element("g", *inside, class_=look, data_series=row.name)
