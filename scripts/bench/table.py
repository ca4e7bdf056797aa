"""The figures for a reader."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table


def table(title: str, figures: Mapping[str, Any]) -> Table:
    """One line a contestant; seconds as `median (min..max)`, ratios to the first fedrun."""
    whole = any("share_of_peak" in line for line in figures.values())
    drawn = Table(title=title, title_justify="left", title_style="bold")
    drawn.add_column("", no_wrap=True)
    for heading in ("CPU s", "x", "wall s", "x", *(("of peak", "MiB") if whole else ())):
        drawn.add_column(heading, justify="right", no_wrap=True)
    for name, line in figures.items():
        cells = [
            _seconds(line["cpu_seconds"]),
            _ratio(line.get("cpu_ratio")),
            _seconds(line["wall_seconds"]),
            _ratio(line.get("wall_ratio")),
        ]
        if whole:
            cells += [f"{line['share_of_peak']:.2%}", f"{line['peak_memory_mib']:.0f}"]
        drawn.add_row(name, *cells)
    return drawn


def _seconds(spread: Mapping[str, float]) -> str:
    if spread["min"] == spread["max"]:
        return f"{spread['median']:.3g}"
    return f"{spread['median']:.3g} ({spread['min']:.3g}..{spread['max']:.3g})"


def _ratio(spread: Mapping[str, float] | None) -> str:
    return f"{spread['median']:.2f}" if spread else ""
