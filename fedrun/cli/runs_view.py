"""What `fedrun runs` shows."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape

from fedrun.cli.theme import THEME, figure_of, name_of

if TYPE_CHECKING:
    from fedrun.report.runs import Run
    from fedrun.report.runs_prune import Plan

COLOURS = {
    "finished": "good",
    "failed": "bad",
    "dead": "bad",
    "damaged": "bad",
    "running": "course",
}
MOST = 20  # lines of things to delete
MOST_ERRORS = 5


def listing(runs: Sequence[Run], place: Path) -> None:
    """A line a run, oldest first; below, how many there are of each kind and what to do."""
    console = Console(theme=THEME, highlight=False)
    if not runs:
        console.print(f"no runs in {escape(str(place))}", soft_wrap=True)
        return
    metrics = {run.metric for run in runs if run.metric}
    one = metrics.pop() if len(metrics) == 1 else None
    heads = ("status", "round", f"best {name_of(one)}" if one else "best", "age", "size", "run")
    rows = [
        (run.status, progress(run), best(run, one is None), age(run.age), size(run.size),
         shown(run.path, place))
        for run in runs
    ]  # fmt: skip
    widths = [max(len(row[at]) for row in (heads, *rows)) for at in range(len(heads) - 1)]
    for row in (heads, *rows):
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:-1], widths[1:], strict=True)]
        style = "muted" if row is heads else COLOURS.get(row[0], "default")
        line = f"[{style}]{escape(cells[0])}[/]  {escape('  '.join(cells[1:]))}"
        console.print(f"{line}  {escape(row[-1])}", soft_wrap=True)
    counts = Counter(run.status for run in runs)
    total = size(sum(run.size for run in runs))
    words = ", ".join(f"{count} {status}" for status, count in counts.most_common())
    found = f"{len(runs)} run{'s' * (len(runs) != 1)}"
    console.print(f"\n[muted]{found} ({words}), {total}[/]", soft_wrap=True)
    errors = [told_once(run.path, run.error) for run in runs if run.error]
    for line in errors[:MOST_ERRORS]:
        console.print(f"[bad]{escape(line)}[/]", soft_wrap=True)
    if len(errors) > MOST_ERRORS:
        console.print(f"[bad]and {len(errors) - MOST_ERRORS} more; --json shows all[/]")
    if counts["dead"] or counts["interrupted"]:
        console.print("[muted]Go on with one: fedrun resume RUN[/]", soft_wrap=True)


def told_once(path: Path, error: str) -> str:
    """
    >>> told_once(Path("a"), "a/manifest.json is damaged"), told_once(Path("a"), "writing failed")
    ('a/manifest.json is damaged', 'a: writing failed')
    """
    return error if error.startswith(f"{path}{os.sep}") else f"{path}: {error}"


def progress(run: Run) -> str:
    return "-" if run.round is None else f"{run.round}/{run.rounds}"


def best(run: Run, named: bool) -> str:
    if run.best is None:
        return "-"
    text = figure_of(run.metric or "", run.best)
    return f"{run.metric} {text}" if named else text


def age(seconds: float) -> str:
    """
    >>> age(30), age(3000), age(90_000)
    ('30 s', '50 min', '25 h')
    """
    for length, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= (2 * length if unit == "d" else length):
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def size(count: int) -> str:
    """
    >>> size(512), size(221_272), size(3_000_000_000)
    ('512 B', '221 kB', '3.0 GB')
    """
    for length, unit in ((1e9, "GB"), (1e6, "MB")):
        if count >= length:
            return f"{count / length:.1f} {unit}"
    return f"{count / 1e3:.0f} kB" if count >= 1000 else f"{count} B"


def shown(path: Path, place: Path) -> str:
    """The path that other commands take, from here."""
    return str(path)


def pruned(planned: Plan, done: Plan | None) -> None:
    """What would go, or what is gone, with its sizes."""
    console = Console(theme=THEME, highlight=False)
    plan = planned if done is None else done
    kept = [*planned.kept, *(done.kept if done else [])]
    if not plan.wastes:
        console.print("nothing to delete" if not planned.wastes else "nothing was deleted")
    groups: dict[str, list[int]] = {}
    for waste in plan.wastes:
        groups.setdefault(waste.why, []).append(waste.size)
    for waste in plan.wastes[:MOST]:
        line = f"{size(waste.size).rjust(9)}  {waste.path}  ({waste.why})"
        console.print(escape(line), soft_wrap=True)
    if len(plan.wastes) > MOST:
        console.print(f"{' ' * 9}  and {len(plan.wastes) - MOST} more; --json shows all")
    for line in kept:
        console.print(f"[muted]kept: {escape(line)}[/]", soft_wrap=True)
    if plan.wastes:
        words = ", ".join(f"{len(sizes)} x {why}" for why, sizes in groups.items())
        verb = "deleted" if done is not None else "would be deleted"
        console.print(f"\n{size(plan.size)} {verb}: {escape(words)}", soft_wrap=True)
    if done is None and plan.wastes:
        sys.stdout.flush()
        console.print("[muted]Nothing was deleted: add --yes to do it.[/]", soft_wrap=True)
