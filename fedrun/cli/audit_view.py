"""What `fedrun audit` prints."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import isfinite
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from fedrun.cli.theme import THEME
from fedrun.core.bound import downwards, upwards

if TYPE_CHECKING:
    from fedrun.experiment.audit import Report
    from fedrun.experiment.audit_result import Audit

STYLE = {"ok": "good", "altered": "bad", "missing": "bad", "not yet": "muted"}


def as_json(content: dict[str, Any]) -> None:
    print(json.dumps(content, indent=2, allow_nan=False))


def of_run(report: Report) -> None:
    """A line for each thing that was looked at, then the verdict."""
    console = Console(highlight=False, theme=THEME)
    console.print(f"[bold]{escape(str(report.path))}[/] ({report.status})", soft_wrap=True)
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("what")
    table.add_column("verdict")
    table.add_column("why", overflow="fold")
    for check in report.checks:
        verdict = f"[{STYLE[check.verdict]}]{check.verdict}[/]"
        table.add_row(escape(check.what), verdict, escape(check.why))
    console.print(table)
    bad = sum(not check.holds for check in report.checks)
    if bad:
        console.print(f"[bad]{bad} of {len(report.checks)} checks do not hold[/]")
        return
    console.print(f"[good]all {len(report.checks)} checks hold[/]; the ledger's head is")
    console.print(f"{report.head}  (kept elsewhere, it also tells a run that was forged whole)")


def of_mechanism(found: Audit) -> None:
    """The one line that matters, and what it rests on."""
    console = Console(highlight=False, theme=THEME)
    style = "good" if found.verdict == "consistent" else "bad"
    console.print(
        f"measured >= {downwards(found.measured)} | claimed <= {upwards(found.claimed)} | "
        f"[{style}]{found.verdict}[/]"
    )
    rows = {
        "measured": f"lower bound on epsilon, {found.confidence:.0%} confidence, one run "
        f"(Steinke et al. 2023): {found.right} of {found.guesses} guesses right about "
        f"{found.canaries} canaries, {found.inside} of them in; at most "
        f"{upwards(found.most)} could have been shown",
        "claimed": f"epsilon at delta {found.delta:g}, {found.unit} level, {found.relation}, after "
        f"{found.rounds} round{'s' * (found.rounds != 1)}",
    }
    if isfinite(found.gaussian):  # not at delta 0
        rows["if Gaussian"] = (
            f">= {downwards(found.gaussian)}, a bound for Gaussian mechanisms alone "
            f"(Mahloujifar et al. 2024)"
        )
    if found.estimate is not None:
        rows["estimate"] = (
            f"~ {found.estimate:.4g}, one-shot, no bound (Andrew et al. 2023, from the final model)"
        )
    if found.black_box is not None:
        rows["black box"] = (
            f">= {downwards(found.black_box)}, as measured, had only the final model been seen"
        )
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(style="muted", no_wrap=True)
    table.add_column(overflow="fold")
    for name, text in rows.items():
        table.add_row(name, escape(text))
    console.print(table)
    if found.most <= found.claimed:
        console.print(
            f"So many canaries cannot refute this claim, whatever the mechanism does: take more "
            f"with --canaries, or audit fewer rounds ({found.rounds})."
        )


@contextmanager
def progress(hidden: bool) -> Iterator[Callable[[int, int], None]]:
    """(round, of so many) -> a bar on stderr, where that is a terminal."""
    columns = TextColumn("auditing"), BarColumn(), MofNCompleteColumn(), TextColumn("rounds")
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True,
                  disable=hidden or not sys.stderr.isatty()) as bar:  # fmt: skip
        task = bar.add_task("rounds", total=None)
        yield lambda round, of: bar.update(task, completed=round, total=of)
