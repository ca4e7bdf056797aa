"""`fedrun reproduce`: published numbers against ours."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fedrun.cli.completion import complete_baseline
from fedrun.cli.errors import told
from fedrun.core.option import ConfigError

if TYPE_CHECKING:
    from fedrun.report.baseline import Baseline
    from fedrun.report.reproduction import Result


def reproduce(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME]... [KEY=VALUE]...",
            help="Baselines: names, patterns ('heart_*'), files or folders of your own; and "
            "overrides for all their runs. data.root may hold a folder for each data set.",
            autocompletion=complete_baseline,
            show_default=False,
        ),
    ] = None,
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=1, help="Runs at a time.")] = 1,
    under: Annotated[
        float | None,
        typer.Option(min=0, help="Only those whose runs take fewer minutes, all together."),
    ] = None,
    markdown: Annotated[
        Path | None, typer.Option(dir_okay=False, help="Write the table to this file too.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, no table.")] = False,
) -> None:
    """Run published numbers again and compare; without a name, list them.

    Finished runs are not run again. Exit status 1 where a number is outside its band.
    """
    with told():
        names = [word for word in words or [] if "=" not in word]
        overrides = [word for word in words or [] if "=" in word]
        refuse(overrides)
        if (
            markdown
            and names
            and not (markdown.parent.is_dir() and os.access(markdown.parent, os.W_OK))
        ):
            raise ConfigError(
                f"--markdown {markdown}: the folder is not there, or not to be written"
            )
        if names:
            results = work(chosen(names, under), overrides, jobs)
            tell(results, markdown, as_json)
            if not all(result.judged.holds for result in results):
                raise typer.Exit(1)
        else:
            if markdown:
                raise ConfigError("--markdown needs the names of baselines, such as '*' for all")
            show_list(chosen(["*"], under), overrides, as_json)


def refuse(overrides: list[str]) -> None:
    for word in overrides:
        key, _, value = word.lstrip("+~").partition("=")
        if key in ("config", "run.dir", "name"):
            raise ConfigError(f"{word}: {key} is each baseline's own; run.root=FOLDER moves them")
        if key == "seed" and not value.isdecimal():
            raise ConfigError(f"{word} is not accepted (accepted: one whole number, as all seeds)")


def chosen(names: list[str], under: float | None) -> list[Baseline]:
    from fedrun.report.baseline import find

    found = find(names)
    kept = [each for each in found if under is None or each.minutes < under]
    if found and not kept:
        least = min(each.minutes for each in found)
        raise ConfigError(f"--under {under:g}: the quickest of them takes {least:.3g} minutes")
    return kept


def show_list(baselines: list[Baseline], overrides: list[str], as_json: bool) -> None:
    from fedrun.report.saved_result import last, root_of

    kept = {each.name: last(each, root_of(overrides)) for each in baselines}
    if as_json:
        print_json([listed(each, kept[each.name]) for each in baselines])
        return
    from fedrun.cli.reproduce_view import listing

    listing(baselines, kept)


def listed(baseline: Baseline, kept: dict[str, Any] | None) -> dict[str, Any]:
    from dataclasses import asdict

    return {
        "name": baseline.name,
        **asdict(baseline.expect),
        **({"accounting": asdict(baseline.accounting)} if baseline.accounting else {}),
        "tune": baseline.tune,
        "runs": baseline.runs,
        "minutes": baseline.minutes,
        "last": kept,
    }


def work(baselines: list[Baseline], overrides: list[str], jobs: int) -> list[Result]:
    """Everything that is to be run is known, and refused where it is wrong, before it begins."""
    from fedrun.cli.reproduce_view import watching
    from fedrun.experiment import batch
    from fedrun.report.race import Race
    from fedrun.report.reproduction import conclude, plan
    from fedrun.report.saved_result import root_of, save

    known: dict[str, batch.Job] = {}
    plans = [plan(baseline, overrides, known) for baseline in baselines]
    every = [job for each in plans for job in each.jobs]
    with watching(every) as watcher:
        failures = batch.run(every, jobs, watcher, lost=Race(plans).lost)
    results = [conclude(each, failures) for each in plans]
    for result in results:
        save(result, root_of(overrides))
    return results


def tell(results: list[Result], markdown: Path | None, as_json: bool) -> None:
    from fedrun.report.saved_result import plain

    if markdown:
        from fedrun.cli.reproduce_markdown import page

        markdown.write_text(page(results), encoding="utf-8")
    if as_json:
        print_json([plain(result) for result in results])
        return
    from fedrun.cli.reproduce_view import table

    table(results)


def print_json(content: Any) -> None:
    json.dump(content, sys.stdout, indent=2, allow_nan=False)
    print()
