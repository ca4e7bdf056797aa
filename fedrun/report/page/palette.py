"""The colours of a page, for light and for dark, as custom properties of its style.

The eight colours of the curves are near Okabe and Ito's (2008), each moved until it stands out from
its paper by 3 to 1 and more; the order puts those first that colour-blind readers tell apart best.
Letters stand on paper, on wash or on a shade, by 4.5 to 1 and more. `tests/report/test_html_*`
hold all of this.
"""

from __future__ import annotations

from collections.abc import Mapping

SERIES = 8  # groups with a colour of their own
SHADES = 8  # steps from nothing to all, 0 left out

LIGHT = {
    "paper": "#ffffff", "wash": "#f4f6f8", "ink": "#171b20", "muted": "#55606b", "rule": "#d8dde3",
    "grid": "#e8ebef", "accent": "#0a5fa5", "warn": "#8a4b00", "warn-wash": "#fdf3e3",
    "other": "#8b949e",
    "c1": "#0072b2", "c2": "#d55e00", "c3": "#00875f", "c4": "#b3478f",
    "c5": "#3b3f46", "c6": "#3a93c4", "c7": "#a87400", "c8": "#7a5cc4",
}  # fmt: skip
DARK = {
    "paper": "#13161a", "wash": "#1c2026", "ink": "#e6e9ed", "muted": "#a3adb8", "rule": "#343b44",
    "grid": "#262c33", "accent": "#7db8f0", "warn": "#f0b869", "warn-wash": "#2b2316",
    "other": "#727c87",
    "c1": "#4ea6e6", "c2": "#f08a4b", "c3": "#2bbf93", "c4": "#e08cc4",
    "c5": "#d7dbe0", "c6": "#9ad4f5", "c7": "#e3b341", "c8": "#a890f0",
}  # fmt: skip
FULL = 0.5  # how much of the accent is in the last shade: letters must still be read on it


def properties(colours: Mapping[str, str]) -> str:
    """`--paper:#ffffff;--wash:...`, the shades too."""
    shades = {f"s{step}": shade(colours, step) for step in range(1, SHADES + 1)}
    return "".join(f"--{name}:{value};" for name, value in {**colours, **shades}.items())


def shade(colours: Mapping[str, str], step: int) -> str:
    """The accent laid over the paper.

    >>> shade({"paper": "#ffffff", "accent": "#000000"}, 8)
    '#808080'
    """
    part = FULL * step / SHADES
    pairs = zip(_parts(colours["paper"]), _parts(colours["accent"]), strict=True)
    return "#" + "".join(f"{round(paper + part * (accent - paper)):02x}" for paper, accent in pairs)


def _parts(colour: str) -> list[int]:
    return [int(colour[at : at + 2], 16) for at in (1, 3, 5)]
