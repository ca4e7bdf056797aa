"""The curves of a comparison as a picture for a paper: SVG, PNG or PDF, drawn by matplotlib.

The colours are Okabe and Ito's (2008), which most colour-blind readers can tell apart, without
the yellow, too pale for a line on white; after seven groups the lines are dashed too. The same
comparison gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedrun.core.option import ConfigError
from fedrun.report.comparison import Comparison
from fedrun.report.comparison_curve import AXES, Band, Curve, curves
from fedrun.report.comparison_groups import ALL

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMS = (".svg", ".png", ".pdf")
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#56B4E9", "#E69F00")
DASHES = ("-", (0, (5, 2)), (0, (1, 1.2)))
BANDS = {
    "interval": "95 % t-interval of the mean",
    "range": "lowest to highest run",
}
STYLE: dict[str, Any] = {
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same letters everywhere
    "font.size": 9,
    "svg.hashsalt": "fedrun",
    "svg.fonttype": "path",
    "pdf.fonttype": 42,  # letters as letters, which journals ask for
    "axes.spines.top": False,
    "axes.spines.right": False,
}
INSIDE = 4  # groups whose names fit into the axes


def check(file: Path) -> None:
    """ConfigError where such a file cannot be drawn, told before anything is read."""
    if file.suffix.lower() not in FORMS:
        raise ConfigError(f"--plot {file}: the name must end in .svg, .png or .pdf")
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            "--plot needs an extra that is not installed: pip install 'fedrun[plot]'"
        ) from error


def draw(comparison: Comparison, file: Path, axis: str, band: Band | None = None) -> str:
    """Write the picture; the caption that stands in it."""
    check(file)
    band = band or usual_band(comparison)
    found = curves(comparison, axis, band)
    words = caption(comparison, found, axis, band)
    import matplotlib as mpl

    with mpl.rc_context(STYLE):  # type: ignore[arg-type]
        # No date and no version in the file: the same comparison gives the same bytes.
        metadata = {".svg": {"Date": None, "Creator": "fedrun"}, ".png": {"Software": "fedrun"},
                    ".pdf": {"CreationDate": None, "Creator": "fedrun"}}  # fmt: skip
        form = file.suffix.lower()
        picture = figure(comparison, found, axis, words)
        picture.savefig(file, format=form[1:], metadata=metadata[form], dpi=200)
    return words


def usual_band(comparison: Comparison) -> Band:
    """The interval, but for groups of two: theirs would be 9 times as wide as what was seen."""
    sizes = [len(group.runs) for group in comparison.groups if len(group.runs) > 1]
    return "interval" if sizes and min(sizes) > 2 else "range"


def caption(comparison: Comparison, found: Sequence[Curve], axis: str, band: Band) -> str:
    sizes = sorted({curve.n for curve in found})
    n = f"n = {sizes[0]}" if len(sizes) == 1 else f"n = {sizes[0]} to {sizes[-1]}"
    words = "One run each." if sizes == [1] else f"Line: mean over {comparison.over} ({n})"
    if sizes != [1]:
        words += f"; band: {BANDS[band]}."
        if axis != "rounds":
            words += " x is the mean too."
    if any(curve.cut for curve in found):
        words += " Only rounds that all runs of a group have scored."
    drawn = {curve.name for curve in found}
    missing = [group.name for group in comparison.groups if group.name not in drawn]
    if missing:
        words += f" Not drawn, for lack of {axis}: {', '.join(missing)}."
    return words


def figure(comparison: Comparison, found: Sequence[Curve], axis: str, words: str) -> Figure:
    """Curves, names and caption, 6.4 by 4 inches; many names stand at the right."""
    from matplotlib.figure import Figure

    outside = len(found) > INSIDE or max(len(curve.name) for curve in found) > 30
    picture = Figure(figsize=(6.4 + 2.2 * outside, 4.0), layout="constrained")
    axes = picture.add_subplot()
    for at, curve in enumerate(found):
        _line(axes, at, curve, len(found))
    if comparison.target is not None:
        axes.axhline(comparison.target, color="0.4", linewidth=0.9, linestyle=":",
                     label=f"target {comparison.target:g}")  # fmt: skip
    axes.set_xlabel(AXES[axis])
    axes.set_ylabel(comparison.metric.replace("/", " "))
    axes.grid(color="0.9", linewidth=0.6)
    axes.margins(x=0.01)
    if outside:
        axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False, fontsize=8)
    elif len(found) > 1 or found[0].name != ALL or comparison.target is not None:
        axes.legend(loc="best", framealpha=0.85, edgecolor="none")
    picture.supxlabel(words, fontsize=7.5, color="0.3")
    return picture


def _line(axes: Any, at: int, curve: Curve, count: int) -> None:
    colour = COLOURS[at % len(COLOURS)]
    dash = DASHES[at // len(COLOURS) % len(DASHES)]
    width = 1.3 + 1.3 * (count - 1 - at) / max(count - 1, 1)  # curves below others show at the rim
    marker = "o" if len(curve.x) < 2 else None  # one point makes no line
    axes.plot(curve.x, curve.mean, color=colour, linestyle=dash, linewidth=width,
              label=curve.name, marker=marker, zorder=3)  # fmt: skip
    if curve.n > 1:
        axes.fill_between(
            curve.x,
            curve.low,
            curve.high,
            color=colour,
            alpha=0.15 if count <= INSIDE else 0.09,
            linewidth=0,
        )
