"""`fedrun compare`: one table, and one picture, of many runs."""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedrun.cli.arguments import At, By, Metric, Places, Target, Unfinished
from fedrun.cli.errors import say, told
from fedrun.core.option import ConfigError

if TYPE_CHECKING:
    from fedrun.report.comparison import Comparison
    from fedrun.report.comparison_pair import Pair

DASH = Path("-")  # stdout


class Axis(StrEnum):
    """What a picture is drawn against."""

    rounds = "rounds"
    bytes = "bytes"
    seconds = "seconds"
    epsilon = "epsilon"


class Band(StrEnum):
    """What a picture shows around a mean."""

    interval = "interval"
    range = "range"


def compare(
    places: Places,
    metric: Metric = None,
    at: At = "last",
    by: By = None,
    target: Target = None,
    sort: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", help="Column or key; value: best first; -value: last."),
    ] = None,
    paired: Annotated[
        tuple[str, str] | None,
        typer.Option(metavar="A B", help="Paired test of two groups over the seeds they share."),
    ] = None,
    unfinished: Unfinished = False,
    csv: Annotated[Path | None, typer.Option(metavar="FILE", help="As CSV; - is stdout.")] = None,
    markdown: Annotated[
        Path | None, typer.Option(metavar="FILE", help="As Markdown; - is stdout.")
    ] = None,
    latex: Annotated[
        Path | None, typer.Option(metavar="FILE", help="As LaTeX (booktabs); - is stdout.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, no table.")] = False,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Curves as .svg, .png or .pdf.")
    ] = None,
    x: Annotated[Axis | None, typer.Option(help="What --plot is drawn against: rounds.")] = None,
    band: Annotated[
        Band | None,
        typer.Option(help="Around each mean: its 95 % interval, or all runs (for two seeds)."),
    ] = None,
) -> None:
    """Compare methods: mean, sd and 95 % interval over seeds, costs, a paired test, curves."""
    with told():
        files = {"csv": csv, "markdown": markdown, "latex": latex, "plot": plot}
        on_stdout = check(files, as_json, {"--x": x, "--band": band})
        found = work(places, metric, at, by, target, sort, unfinished, plot is not None)
        pair = pair_of(found, paired)
        remarks = list(found.notes)
        if plot is not None:
            from fedrun.report.plot import draw

            drawn = draw(found, plot, (x or Axis.rounds).value, band and band.value)
            remarks.append(f"{plot}: {drawn}")
        write(found, pair, files, remarks)
        if as_json:
            from fedrun.report.table_plain import as_json as content

            json.dump(content(found, pair), sys.stdout, indent=2, allow_nan=False)
            print()
        if on_stdout:
            for line in remarks:
                say(line)
        else:
            show_table(found, pair, remarks)


def check(files: dict[str, Path | None], as_json: bool, drawing: dict[str, object]) -> bool:
    """Refuse before anything is read what cannot be written; whether stdout is taken."""
    taken = [f"--{name} -" for name, file in files.items() if file == DASH and name != "plot"]
    taken += ["--json"] * as_json
    if len(taken) > 1:
        raise ConfigError(f"{' and '.join(taken)} both write to stdout; give one of them a file")
    for name, file in files.items():
        if file is not None and file != DASH and not file.expanduser().parent.is_dir():
            raise ConfigError(f"--{name} {file}: there is no folder {file.parent}")
    if files["plot"] is not None:
        from fedrun.report.plot import check as can_draw

        can_draw(files["plot"])
    else:
        for option, value in drawing.items():
            if value is not None:
                raise ConfigError(f"{option} has no effect without --plot FILE")
    return bool(taken)


def work(
    places: list[Path], metric: str | None, at: str, by: list[str] | None, target: float | None,
    sort: str | None, unfinished: bool, curves: bool,
) -> Comparison:  # fmt: skip
    from dataclasses import replace

    from fedrun.report.collect import collect
    from fedrun.report.collect_run import read_records
    from fedrun.report.comparison import compare as compared
    from fedrun.report.comparison_measure import Question, read_at

    question = Question(metric, read_at(at), target)
    keys = [key for word in by or [] for key in word.split(",")]
    found = collect(places)
    records, notes = read_records(found.runs, unfinished)
    comparison = compared(records, question, keys, sort, curves=curves)
    return replace(comparison, notes=[*found.notes, *notes, *comparison.notes])


def pair_of(comparison: Comparison, names: tuple[str, str] | None) -> Pair | None:
    from fedrun.report.comparison_pair import asked, automatic

    return asked(comparison, names) if names else automatic(comparison)


def write(
    comparison: Comparison, pair: Pair | None, files: dict[str, Path | None], remarks: list[str]
) -> None:
    """The forms that were asked for."""
    from fedrun.report.table_latex import as_latex
    from fedrun.report.table_layout import pair_lines, table
    from fedrun.report.table_markdown import as_markdown
    from fedrun.report.table_plain import as_csv

    said = [*(pair_lines(pair, comparison) if pair else []), *remarks]
    forms = {
        "csv": lambda: as_csv(comparison),
        "markdown": lambda: as_markdown(table(comparison), said),
        "latex": lambda: as_latex(table(comparison), said),
    }
    for name, form in forms.items():
        file = files[name]
        if file == DASH:
            sys.stdout.write(form())
        elif file is not None:
            file.expanduser().write_text(form(), encoding="utf-8")


def show_table(comparison: Comparison, pair: Pair | None, remarks: list[str]) -> None:
    from fedrun.cli.compare_view import show
    from fedrun.report.table_layout import pair_lines, table

    show(table(comparison), remarks, pair_lines(pair, comparison) if pair else [])
