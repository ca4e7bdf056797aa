"""How figures, names and times look: colours and formats in one place."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.theme import Theme

from fedrun.core.bound import is_bound, upwards

THEME = Theme({"key": "cyan", "muted": "dim", "course": "blue", "good": "green", "bad": "red"})

COLUMNS = (
    "train/loss",
    "train/accuracy",
    "test/loss",
    "test/accuracy",
    "test/r2",
    "client/accuracy_mean",
    "client/accuracy_worst10",
    "personal/accuracy_mean",
    "personal/accuracy_worst10",
    "unseen/accuracy_mean",
    "privacy/epsilon",
)
PARTS = {
    "mean": "mean {}",
    "worst10": "worst 10 % {}",
    "best10": "best 10 % {}",
    "sd": "sd of {}",
}
BARS = "▁▂▃▄▅▆▇█"
ASCII_BARS = "_.-~=+*#"


def is_live(console: Console) -> bool:
    """Whether lines can renew themselves there: a terminal that can move up."""
    return console.is_terminal and not console.is_dumb_terminal


def figure(value: float) -> str:
    """Four decimals; short powers of ten where those would say nothing."""
    return f"{value:.4f}" if value == 0 or 1e-3 <= abs(value) < 1e4 else f"{value:.3e}"


def figure_of(metric: str, value: float) -> str:
    """A figure as it is shown; what bounds something from above is rounded up."""
    return upwards(value) if is_bound(metric) else figure(value)


def amount(value: float) -> str:
    """A number of clients, of which there may be a part on average."""
    return f"{value:,.0f}" if value == int(value) else f"{value:,.1f}"


def name_of(metric: str) -> str:
    who, _, what = metric.partition("/")
    name, _, part = what.rpartition("_")
    if part not in PARTS:
        return metric.replace("/", " ")
    return f"{who} " + PARTS[part].format(name).replace("% accuracy", "%")


def duration(seconds: float) -> str:
    """`4.2 s`, `3 min 20 s`, `2 h 5 min`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes = int(seconds // 60)
    if minutes < 60:
        return f"{minutes} min {int(seconds % 60)} s"
    return f"{minutes // 60} h {minutes % 60} min"


def sparkline(values: Sequence[float], width: int = 30, *, ascii_only: bool = False) -> str:
    """The course of a figure in one line of block characters, its newest value at the right.

    >>> sparkline([0, 1, 2, 7])
    '▁▂▃█'
    """
    if len(values) > width:  # the last value of each of `width` equal stretches
        values = [values[(index + 1) * len(values) // width - 1] for index in range(width)]
    bars = ASCII_BARS if ascii_only else BARS
    low, high = min(values), max(values)
    scale = (len(bars) - 1) / (high - low) if high > low else 0.0
    return "".join(bars[round((value - low) * scale)] for value in values)
