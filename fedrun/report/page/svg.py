"""A small writer of SVG: elements whose texts and attributes are always escaped.

Colours are classes, not values: the page's style gives them for light, dark and paper.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import ceil, floor, isfinite, log10
from typing import Any

from markupsafe import Markup, escape


def element(name: str, *inside: str | Markup, **attributes: Any) -> Markup:
    """An element; `_` in an attribute's name is `-`, a trailing one is dropped, None leaves it out.

    >>> str(element("text", "a < b", x=1.25, text_anchor="end", class_="name"))
    '<text x="1.2" text-anchor="end" class="name">a &lt; b</text>'
    """
    shown = Markup("").join(
        Markup(' {}="{}"').format(key.rstrip("_").replace("_", "-"), written(value))
        for key, value in attributes.items()
        if value is not None
    )
    if not inside:
        return Markup("<") + name + shown + Markup("/>")
    body = Markup("").join(escape(part) for part in inside)
    return Markup("<") + name + shown + Markup(">") + body + Markup("</") + name + Markup(">")


def written(value: Any) -> str:
    """Lengths to a tenth of a pixel.

    >>> written(3.0), written(0.26), written(-0.01), written("a")
    ('3', '0.3', '0', 'a')
    """
    if not isinstance(value, float):
        return str(value)
    text = f"{value:.1f}".removesuffix(".0")
    return "0" if text == "-0" else text


def picture(
    name: str, title: str, words: str, size: tuple[float, float], *inside: Markup, **attributes: Any
) -> Markup:
    """A whole picture: `name` is unique on the page; `title` and `words` are what a reader who does
    not see it is told."""
    width, height = size
    told = element("title", title, id=f"{name}-title") + element("desc", words, id=f"{name}-words")
    return element(
        "svg", told, *inside, viewBox=f"0 0 {written(width)} {written(height)}", role="img",
        aria_labelledby=f"{name}-title {name}-words", style=f"--wide:{written(width)}",
        **attributes,
    )  # fmt: skip


def path(points: Iterable[tuple[float, float]]) -> str:
    """
    >>> path([(0.0, 1.0), (2.5, 3.04)])
    'M0 1L2.5 3'
    """
    return "M" + "L".join(f"{written(float(x))} {written(float(y))}" for x, y in points)


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """At most so many round numbers from `low` to `high`, evenly spaced.

    >>> ticks(0, 10), ticks(0.13, 0.97)
    ([0.0, 2.0, 4.0, 6.0, 8.0, 10.0], [0.2, 0.4, 0.6, 0.8])
    """
    if not (isfinite(low) and isfinite(high)) or high <= low:
        return [low]
    rough = (high - low) / most
    size = 10.0 ** floor(log10(rough))
    for factor in (1, 2, 2.5, 5, 10, 20):
        step = factor * size
        first, last = ceil(low / step - 1e-9), floor(high / step + 1e-9)
        if last - first < most:
            break
    return [float(f"{at * step:.12g}") for at in range(first, last + 1)]


def tick_texts(values: Sequence[float]) -> list[str]:
    """As many decimals as tell them apart, the same for all.

    >>> tick_texts([0.2, 0.4]), tick_texts([0, 2500]), tick_texts([0, 2e6])
    (['0.2', '0.4'], ['0', '2,500'], ['0', '2e+06'])
    """
    most = max(map(abs, values))
    if most >= 1e6 or (most and most < 1e-4):
        return [f"{value:.4g}" for value in values]
    for decimals in range(8):
        texts = [f"{value:,.{decimals}f}" for value in values]
        if all(abs(float(f"{v:.{decimals}f}") - v) <= 1e-9 * most for v in values):
            break
    return texts


def shortened(text: str, most: int) -> str:
    """
    >>> shortened("fedprox algorithm.mu=0.1", 12)
    'fedprox alg…'
    """
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"
