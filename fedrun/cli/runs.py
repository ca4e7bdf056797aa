"""`fedrun runs`: what there is, what still runs, and what can go."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fedrun.cli.arguments import read_path
from fedrun.cli.errors import told
from fedrun.core.option import ConfigError

if TYPE_CHECKING:
    from fedrun.report.runs_prune import Plan


def runs(
    folder: Annotated[
        Path | None,
        typer.Argument(
            parser=read_path,
            help="Where to look, at any depth (default: runs).",
            show_default=False,
        ),
    ] = None,
    metric: Annotated[
        str | None, typer.Option(help="The best of which figure is shown.", show_default=False)
    ] = None,
    prune: Annotated[
        bool,
        typer.Option("--prune", help="Show what could be deleted: dead runs, old checkpoints."),
    ] = False,
    models: Annotated[
        bool, typer.Option("--models", help="With --prune: the models of finished runs too.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="With --prune: delete it.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, no table.")] = False,
) -> None:
    """List runs with status, progress, best figure, age and size; tell dead ones from running."""
    with told():
        for option, given in (("--models", models), ("--yes", yes)):
            if given and not prune:
                raise ConfigError(f"{option} has no effect without --prune")
        if metric is not None and prune:
            raise ConfigError("--metric has no effect with --prune")
        place = chosen(folder)
        if prune:
            work_prune(place, models, yes, as_json)
        else:
            work_list(place, metric, as_json)


def chosen(folder: Path | None) -> Path:
    from fedrun.experiment import choices

    place = folder or Path(choices.root()["run"]["root"])
    if folder is None and not place.exists():
        raise ConfigError(f"there is no folder {place} here; `fedrun train` makes it, or name one")
    return place.expanduser()


def work_list(place: Path, metric: str | None, as_json: bool) -> None:
    from fedrun.report.runs import list_runs

    found = list_runs(place, metric)
    if metric is not None and found and all(run.best is None for run in found):
        raise ConfigError(
            f"--metric {metric} was measured in none of {len(found)} run{'s' * (len(found) != 1)}"
        )
    if as_json:
        print_json([{**asdict(run), "path": str(run.path)} for run in found])
        return
    from fedrun.cli.runs_view import listing

    listing(found, place)


def work_prune(place: Path, models: bool, yes: bool, as_json: bool) -> None:
    from fedrun.cli.runs_view import pruned
    from fedrun.report.runs_prune import delete, plan

    planned = plan(place, models)
    done = delete(planned) if yes else None
    if as_json:
        print_json(plain(planned, done))
    else:
        pruned(planned, done)


def plain(planned: Plan, done: Plan | None) -> dict[str, Any]:
    shown = planned if done is None else done
    return {
        "deleted": done is not None,
        "bytes": shown.size,
        "wastes": [{"path": str(w.path), "why": w.why, "bytes": w.size} for w in shown.wastes],
        "kept": [*planned.kept, *(done.kept if done else [])],
    }


def print_json(content: Any) -> None:
    json.dump(content, sys.stdout, indent=2, allow_nan=False)
    print()
