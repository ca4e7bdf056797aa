"""The figures themselves: who is best, each group's runs on a line, and the curves."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from fedrun.core.bound import is_bound, upwards
from fedrun.core.metric import is_better
from fedrun.report.comparison import Comparison, Group
from fedrun.report.comparison_curve import AXES, Curve, curve
from fedrun.report.page.chart import Line, chart, numbers, thinning
from fedrun.report.page.content import Content
from fedrun.report.page.rows import Row, rows_picture
from fedrun.report.plot import caption, usual_band
from fedrun.report.table_layout import figure, number_of, rounds

FURTHER = {
    "test/accuracy": ("test/loss", "client/accuracy_worst10"),
    "personal/accuracy": ("personal/loss", "personal/accuracy_worst10"),
    "test/loss": ("test/r2",),
}
MOST_ROWS = 40


@dataclass(frozen=True)
class Figure:
    """A chart with its legend, caption and numbers; `name` is unique on the page."""

    name: str
    title: str
    picture: Markup
    legend: list[tuple[str, int | None]]
    caption: str
    data: Markup


def best(content: Content) -> str:
    """One sentence: the group whose mean is best, and how sure that is."""
    found = content.comparison
    ranked = _ranked(content)
    if found is None or not ranked:
        return ""
    top = ranked[0]
    value = top.figures["value"]
    assert value is not None
    number = rounds if found.at.counts_rounds else figure
    words = f"{found.metric}, {found.at}: {number_of(found)(value.mean)}"
    if value.low is not None and value.high is not None:
        words += f" (95 % interval {number(value.low)} to {number(value.high)}, n = {value.n})"
    if len(found.groups) == 1:
        return f"{words}."
    inside = [
        group.name
        for group in ranked[1:]
        if (other := group.figures["value"]) and None not in (other.low, other.high, value.low)
        and other.low <= value.high and other.high >= value.low  # type: ignore[operator]
    ]  # fmt: skip
    tail = "."
    if len(inside) == 1:
        tail = f"; its interval overlaps that of {inside[0]}."
    elif inside:
        tail = f"; its interval overlaps those of {len(inside)} others."
    return f"Best{' mean' if value.n > 1 else ''}: {top.name}. {words}{tail}"


def _ranked(content: Content) -> list[Group]:
    found = content.comparison
    if found is None:
        return []
    sign = 1 if found.at.counts_rounds else -is_better(found.metric)
    known = [group for group in found.groups if group.figures["value"]]
    return sorted(known, key=lambda group: sign * group.figures["value"].mean)  # type: ignore[union-attr]


def strip(content: Content) -> tuple[Markup, str] | None:
    """Every run as a dot, with the mean and its interval; nothing where one run is all."""
    found = content.comparison
    if found is None or len(content.records) < 2:
        return None
    methods = [method for method in content.methods if method.group]
    shown = methods
    if len(methods) > MOST_ROWS:
        best_ones = {group.name for group in _ranked(content)[:MOST_ROWS]}
        shown = [method for method in methods if method.name in best_ones]
    lines = []
    for method in shown:
        assert method.group
        value = method.group.figures["value"]
        values = [run.numbers["value"] for run in method.group.runs]
        dots = [dot for dot in values if dot is not None]
        several = value is not None and value.low is not None and value.high is not None
        bar = (value.low, value.high) if several else None  # type: ignore[union-attr]
        middle = value.mean if several else None  # type: ignore[union-attr]
        row = Row(method.name, method.short, method.look, dots, bar, middle)  # type: ignore[arg-type]
        if row.values:
            lines.append(row)
    if not lines:
        return None
    words = "Dots are runs."
    if any(row.bar for row in lines):
        words = "Dots are runs, the diamond is their mean, the bar its 95 % interval."
    if len(shown) < len(methods):
        words += f" The best {len(shown)} of {len(methods)} groups."
    across = f"rounds to {found.at.number:g}" if found.at.counts_rounds else found.metric
    return rows_picture("strip", f"{found.metric} of every run", words, lines, across), words


def figures(content: Content) -> list[Figure]:
    """The metric by rounds, then what else tells how training went."""
    found = content.comparison
    if found is None:
        return []
    further = [content.further(name) for name in FURTHER.get(found.metric, ())]
    shown = [found, *(each for each in further if each)]
    made = [_figure(content, each, "rounds", f"curve-{at}") for at, each in enumerate(shown)]
    return [each for each in made if each]


def cost_figures(content: Content) -> list[Figure]:
    """The metric against what was spent, where that tells more than rounds do: not where all
    groups spend the same in each round."""
    found = content.comparison
    if found is None:
        return []
    axes = [axis for axis in ("bytes", "seconds") if _differs(found, axis)]
    made = [_figure(content, found, axis, f"cost-{axis}") for axis in axes]
    return [each for each in made if each]


def _differs(found: Comparison, axis: str) -> bool:
    each = []
    for group in found.groups:
        line = curve(group, found.metric, axis, "range")
        if line is not None and len(line.x):
            rounds_of = curve(group, found.metric, "rounds", "range")
            assert rounds_of is not None
            each.append(float(line.x[-1] / rounds_of.x[-1]))
    return bool(each) and max(each) > 1.01 * min(each)


def budget_figure(content: Content) -> Figure | None:
    """The metric against the privacy budget, where any is spent."""
    found = content.comparison
    return _figure(content, found, "epsilon", "cost-epsilon") if found else None


def _figure(content: Content, found: Comparison, axis: str, name: str) -> Figure | None:
    band = usual_band(found)
    drawn: list[tuple[Curve, Line]] = []
    for method in content.methods:
        group = next((group for group in found.groups if group.texts == method.texts), None)
        line = curve(group, found.metric, axis, band) if group else None
        if line is not None:
            named = Curve(method.name, line.n, line.x, line.mean, line.low, line.high, line.cut)
            drawn.append((line, Line(named, method.short, method.look)))
    if not drawn or all(len(line.x) < 2 for line, _ in drawn):
        return None
    lines = [line for _, line in drawn]
    target = found.at.number if found.at.counts_rounds else found.target
    words = caption(found, [line for line, _ in drawn], axis, band)
    if len(content.records) == 1:
        words = ""
    if any(line.look is None for line in lines):
        words += " In colour: the groups that end best." if len(lines) > 1 else ""
    if (every := thinning(lines)) > 1:
        words += f" Every {every}th scored round is drawn."
    title = f"{found.metric} by {AXES[axis].split(',')[0]}"
    told = f"{title}. {_ends(lines, found.metric)} {words}".strip()
    picture = chart(name, title, told, lines, AXES[axis], found.metric, target)
    data = as_data(numbers(lines, AXES[axis].split(",")[0], target, found.metric))
    return Figure(name, title, picture, _legend(lines), words, data)


def _legend(lines: Sequence[Line]) -> list[tuple[str, int | None]]:
    """Each line with a colour, and all others as one; nothing for a single line."""
    found: list[tuple[str, int | None]]
    found = [(line.curve.name, line.look) for line in lines if line.look is not None]
    others = len(lines) - len(found)
    if others:
        found.append((f"{others} others" if others > 1 else "1 other", None))
    return found if len(lines) > 1 else []


def _ends(lines: Sequence[Line], metric: str) -> str:
    """For those who do not see it: where the first lines begin and end."""
    number = upwards if is_bound(metric) else "{:.4g}".format
    told = [
        f"{line.curve.name}: {number(line.curve.mean[0])} to {number(line.curve.mean[-1])}."
        for line in lines[:8]
    ]
    return " ".join(told)


def as_data(content: object) -> Markup:
    """JSON that can stand in a page: no `<` of it begins a tag, no line ends a script.

    >>> str(as_data({"name": "</script>"}))
    '{"name":"\\\\u003c/script\\\\u003e"}'
    """
    text = json.dumps(content, separators=(",", ":"), allow_nan=False)
    for letter in "<>&":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return Markup(text)
