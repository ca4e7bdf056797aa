"""Curves with their bands as SVG: axes, a grid, names at the ends of the lines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

from markupsafe import Markup

from fedrun.core.bound import is_bound, upwards
from fedrun.report.comparison_curve import AXES, Curve
from fedrun.report.page.svg import element, path, picture, tick_texts, ticks

WIDTH, HEIGHT = 760.0, 340.0
LEFT, TOP, BOTTOM = 54.0, 26.0, 40.0
POINTS = 6_000  # drawn in a picture, all its lines together
LETTER = 7.1  # a letter's width, near enough
APART = 15.0  # lines of text


@dataclass(frozen=True)
class Line:
    """A curve, what stands at its end, and its look: the number of a colour, or None for grey."""

    curve: Curve
    short: str
    look: int | None


@dataclass(frozen=True)
class Axes:
    """From numbers to places in the picture."""

    x: tuple[float, float]
    y: tuple[float, float]
    right: float

    def at_x(self, value: float) -> float:
        low, high = self.x
        return LEFT + (value - low) / (high - low) * (self.right - LEFT)

    def at_y(self, value: float) -> float:
        low, high = self.y
        return HEIGHT - BOTTOM - (value - low) / (high - low) * (HEIGHT - BOTTOM - TOP)


def chart(
    name: str,
    title: str,
    words: str,
    lines: Sequence[Line],
    across: str,
    up: str,
    target: float | None = None,
) -> Markup:
    """The picture. `name` is unique on the page; `words` say what is seen; `across` and `up` stand
    at the axes."""
    axes = axes_of(lines, target)
    every = thinning(lines)
    clip = f"{name}-inside"
    drawn = [_line(line, axes, every, len(lines), clip) for line in _behind_first(lines)]
    inside = [*_frame(axes, across, up, clip), *drawn]
    if target is not None:
        inside += _target(axes, target)
    inside += _names(_named(lines), axes)
    return picture(name, title, words, (WIDTH, HEIGHT), *inside, class_="chart", data_chart=name)


def numbers(
    lines: Sequence[Line], across: str, target: float | None, metric: str = ""
) -> dict[str, Any]:
    """The same picture for a script: the values that are drawn, and where they stand."""
    short_x = {AXES["epsilon"]: _short_bound, AXES["rounds"]: _exact}.get(across, _short)
    short_y = _short_bound if is_bound(metric) else _short
    every = thinning(lines)
    axes = axes_of(lines, target)
    shared: list[list[float]] = []
    series = []
    for line in lines:
        kept = _kept(line.curve, every)
        x = [short_x(float(value)) for value in line.curve.x[kept]]
        if x not in shared:
            shared.append(x)
        found: dict[str, Any] = {
            "name": line.curve.name,
            "look": 0 if line.look is None else line.look + 1,
            "x": shared.index(x),
            "y": [short_y(float(value)) for value in line.curve.mean[kept]],
        }
        if line.curve.n > 1:
            found["low"] = [short_y(float(value)) for value in line.curve.low[kept]]
            found["high"] = [short_y(float(value)) for value in line.curve.high[kept]]
        series.append(found)
    return {
        "x": shared, "series": series, "left": LEFT, "right": axes.right, "top": TOP,
        "bottom": HEIGHT - BOTTOM, "width": WIDTH, "across": across,
        "low": axes.x[0], "high": axes.x[1],
    }  # fmt: skip


def _named(lines: Sequence[Line]) -> list[Line]:
    """The lines with a name at their end: those with a colour, but not a single one."""
    return [line for line in lines if line.look is not None] if len(lines) > 1 else []


def axes_of(lines: Sequence[Line], target: float | None) -> Axes:
    """Room for all lines and their names, and for bands but where they would press the lines
    flat."""
    xs = [float(value) for line in lines for value in (line.curve.x.min(), line.curve.x.max())]
    means = [float(v) for line in lines for v in (line.curve.mean.min(), line.curve.mean.max())]
    low, high = min(means), max(means)
    room = (high - low) or abs(high) or 1.0
    bands_low = min(float(line.curve.low.min()) for line in lines)
    bands_high = max(float(line.curve.high.max()) for line in lines)
    low, high = max(bands_low, low - room / 2), min(bands_high, high + room / 2)
    if target is not None:
        low, high = min(low, target), max(high, target)
    margin = 0.04 * ((high - low) or abs(high) or 1.0)
    longest = max((len(line.short) for line in _named(lines)), default=0)
    names = 24 + LETTER * longest if longest else 14.0
    across = (min(xs), max(xs) if max(xs) > min(xs) else min(xs) + 1)
    return Axes(across, (low - margin, high + margin), WIDTH - names)


def thinning(lines: Sequence[Line]) -> int:
    """Every which point is drawn."""
    return max(1, ceil(sum(len(line.curve.x) for line in lines) / POINTS))


def _kept(curve: Curve, every: int) -> list[int]:
    """The last point always."""
    last = len(curve.x) - 1
    return [*range(last % every, last, every), last]


def _behind_first(lines: Sequence[Line]) -> list[Line]:
    return sorted(lines, key=lambda line: line.look is not None)


def _line(line: Line, axes: Axes, every: int, count: int, clip: str) -> Markup:
    curve, kept = line.curve, _kept(line.curve, every)
    x = [axes.at_x(float(value)) for value in curve.x[kept]]
    low, mean, high = (
        [axes.at_y(float(value)) for value in column[kept]]
        for column in (curve.low, curve.mean, curve.high)
    )
    look = "other" if line.look is None else f"look{line.look + 1}"
    inside = [element("title", curve.name)]
    if curve.n > 1 and line.look is not None:
        there, back = zip(x, low, strict=True), zip(x[::-1], high[::-1], strict=True)
        shape = path([*there, *back]) + "Z"
        band = "band" if count <= 4 else "band faint"
        inside.append(element("path", class_=band, d=shape, clip_path=f"url(#{clip})"))
    if len(x) == 1:
        inside.append(element("circle", class_="dot", cx=x[0], cy=mean[0], r=4))
    else:
        # Those behind are wider, so that they show at the rim of what covers them.
        wide = None if line.look is None else 1.8 + 1.5 * max(0, 3 - line.look) / 3
        shape = path(zip(x, mean, strict=True))
        inside.append(element("path", class_="line", d=shape, style=wide and f"--w:{wide:.1f}"))
    return element("g", *inside, class_=look, data_series=curve.name)


def _frame(axes: Axes, across: str, up: str, clip: str) -> list[Markup]:
    base = HEIGHT - BOTTOM
    shown = element("rect", x=LEFT, y=TOP, width=axes.right - LEFT, height=base - TOP)
    inside = [element("defs", element("clipPath", shown, id=clip))]
    values = ticks(*axes.y)
    for value, text in zip(values, tick_texts(values), strict=True):
        y = axes.at_y(value)
        inside.append(element("path", class_="grid", d=path([(LEFT, y), (axes.right, y)])))
        inside.append(element("text", text, x=LEFT - 8, y=y + 4, text_anchor="end"))
    values = ticks(*axes.x, 8)
    if across == AXES["rounds"]:
        values = [value for value in values if value.is_integer()]
    for value, text in zip(values, tick_texts(values), strict=True):
        x = axes.at_x(value)
        inside.append(element("path", class_="axis", d=path([(x, base), (x, base + 4)])))
        inside.append(element("text", text, x=x, y=base + 18, text_anchor="middle"))
    inside.append(element("path", class_="axis", d=path([(LEFT, base), (axes.right, base)])))
    middle = (LEFT + axes.right) / 2
    inside.append(element("text", across, class_="name", x=middle, y=HEIGHT - 5,
                          text_anchor="middle"))  # fmt: skip
    inside.append(element("text", up, class_="name", x=4.0, y=13.0))
    return inside


def _target(axes: Axes, target: float) -> list[Markup]:
    y = axes.at_y(target)
    return [
        element("path", class_="target", d=path([(LEFT, y), (axes.right, y)])),
        element("text", f"target {target:g}", x=LEFT + 6, y=y - 5, class_="name"),
    ]


def _names(lines: Sequence[Line], axes: Axes) -> list[Markup]:
    """Each at the height of its line's end, pushed apart where they would lie on each other."""
    ends = [(axes.at_y(float(line.curve.mean[-1])), line) for line in lines]
    ends.sort(key=lambda end: end[0])
    places = spread_out([y for y, _ in ends], TOP, HEIGHT - BOTTOM, APART)
    inside = []
    for (y, line), place in zip(ends, places, strict=True):
        x = axes.at_x(float(line.curve.x[-1]))
        assert line.look is not None
        bent = [(axes.right + 10, place), (axes.right + 16, place)]
        if x > axes.right - 12:  # from further away it would look like a part of the line
            bent.insert(0, (x + 3, y))
        text = element("text", line.short, x=axes.right + 20, y=place + 4)
        inside.append(
            element("g", element("title", line.curve.name),
                    element("path", class_="lead", d=path(bent)), text,
                    class_=f"look{line.look + 1} end", data_series=line.curve.name)
        )  # fmt: skip
    return inside


def spread_out(places: Sequence[float], low: float, high: float, apart: float) -> list[float]:
    """Ascending places, moved as little as makes them stand apart, inside of low and high if they
    can.

    >>> spread_out([10, 12, 50], 0, 60, 10)
    [6.0, 16.0, 50.0]
    """
    blocks: list[tuple[float, int]] = []  # where a block of neighbours has its middle; how many
    for place in places:
        blocks.append((float(place), 1))
        while len(blocks) > 1:
            (one, many), (two, more) = blocks[-2:]
            if two - one >= apart * (many + more) / 2:
                break
            blocks[-2:] = [((one * many + two * more) / (many + more), many + more)]
    found = []
    for middle, many in blocks:
        half = apart * (many - 1) / 2
        first = min(max(middle - half, low), max(high - 2 * half, low))
        found += [first + apart * at for at in range(many)]
    for at in range(1, len(found)):
        found[at] = max(found[at], found[at - 1] + apart)
    return found


def _exact(value: float) -> float:
    return value


def _short(value: float) -> float:
    """Four digits: what a reader is told."""
    return float(f"{value:.4g}")


def _short_bound(value: float) -> float:
    return float(upwards(value))
