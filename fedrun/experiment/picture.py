"""Runs as a few lines of HTML, for a notebook: what they are, their figures, and curves as SVG.

Everything that comes from a file is escaped; the picture needs no script and no network, and takes
its text colour from the page, light or dark.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from math import isfinite
from typing import Any

from fedrun.core.metric import SCORED, is_better

DRAWN = ("test/accuracy", "personal/accuracy", "test/loss", "personal/loss", "train/loss")
WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 420, 150, 52, 22, 8
LINE = "#0072B2"
MOST = 400  # points of the curve

Lines = Sequence[Mapping[str, Any]]
Points = Sequence[tuple[int, float]]


def html(name: str, status: str, rounds: int, lines: Lines) -> str:
    """A table and a curve of a run that has these lines of metrics, out of so many rounds."""
    done = int(lines[-1]["round"]) if lines else 0
    head = f"<b>{escape(name)}</b><br>{escape(status)}, round {done} of {rounds}"
    drawn = next((metric for metric in DRAWN if len(course(lines, metric)) > 1), None)
    picture = "" if drawn is None else f"<br>{curve(drawn, course(lines, drawn))}"
    return f'<div class="fedrun-run">{head}{table(lines)}{picture}</div>'


def course(lines: Lines, metric: str) -> list[tuple[int, float]]:
    """Where the metric was measured: (round, value)."""
    found = [(int(line["round"]), float(line[metric])) for line in lines if metric in line]
    return [(round, value) for round, value in found if isfinite(value)]


def table(lines: Lines) -> str:
    """Last and best of every figure of the scored models, but for single clients' own."""
    names = dict.fromkeys(name for line in lines for name in line)
    rows = []
    for name in names:
        points = course(lines, name) if name.startswith(SCORED) and "@" not in name else []
        if points:
            at, best = max(points, key=lambda point: is_better(name) * point[1])
            cells = (f"{points[-1][1]:.4g}", f"{best:.4g}", str(at))
            numbers = "".join(f'<td style="text-align:right">{cell}</td>' for cell in cells)
            rows.append(f"<tr><td>{escape(name)}</td>{numbers}</tr>")
    if not rows:
        return ""
    heads = "".join(f"<th>{head}</th>" for head in ("figure", "last", "best", "in round"))
    return f"<table><thead><tr>{heads}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def curve(metric: str, points: Points) -> str:
    """The course of one figure, with the ends of both axes written at them."""
    first, last = points[0], points[-1]
    words = f"{metric} from round {first[0]} to {last[0]}: {first[1]:.4g} to {last[1]:.4g}"
    return curves(metric, [Course("", points, LINE)], words)


@dataclass(frozen=True)
class Course:
    """A line of a picture; `title` is shown where the mouse rests on it."""

    title: str
    points: Points
    colour: str
    opacity: float = 1.0


def curves(metric: str, courses: Sequence[Course], words: str) -> str:
    """Courses of one figure over the same axes; words: what is in it, for who cannot see it."""
    every = [point for one in courses for point in one.points]
    first, last = min(at for at, _ in every), max(at for at, _ in every)
    low, high = min(value for _, value in every), max(value for _, value in every)
    wide = (WIDTH - LEFT - 10) / max(last - first, 1)
    tall = (HEIGHT - BOTTOM - TOP) / (high - low if high > low else 1.0)
    base = HEIGHT - BOTTOM

    def place(at: int, value: float) -> str:
        return f"{LEFT + (at - first) * wide:.1f},{base - (value - low) * tall:.1f}"

    def line(one: Course) -> str:
        path = " ".join(place(at, value) for at, value in thinned(one.points))
        pale = f' stroke-opacity="{one.opacity:g}"' if one.opacity < 1 else ""
        title = f"<title>{escape(one.title)}</title>" if one.title else ""
        return (
            f'<polyline points="{path}" fill="none" stroke="{one.colour}"{pale} '
            f'stroke-width="1.8">{title}</polyline>'
        )

    right = WIDTH - 10
    texts = (
        (LEFT - 4, base, "end", f"{low:.3g}"), (LEFT - 4, TOP + 9, "end", f"{high:.3g}"),
        (LEFT, HEIGHT - 6, "start", str(first)), (right, HEIGHT - 6, "end", str(last)),
        ((LEFT + right) / 2, HEIGHT - 6, "middle", f"{metric} by round"),
    )  # fmt: skip
    labels = "".join(
        f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}">{escape(text)}</text>'
        for x, y, anchor, text in texts
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" '
        f'viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(words)}" '
        f'style="max-width:100%" font-family="sans-serif" font-size="11" '
        f'fill="currentColor"><path d="M{LEFT},{TOP}V{base}H{right}" fill="none" '
        f'stroke="currentColor" stroke-opacity="0.4"/>{"".join(map(line, courses))}{labels}</svg>'
    )


def thinned(points: Points) -> Points:
    """At most `MOST` of them, the first and the last among these."""
    if len(points) <= MOST:
        return points
    return [points[at * (len(points) - 1) // (MOST - 1)] for at in range(MOST)]
