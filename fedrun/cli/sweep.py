"""`fedrun sweep`: many runs of one command line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from fedrun.cli.arguments import Overrides, split
from fedrun.cli.errors import one_voice, say, told
from fedrun.core.option import ConfigError

if TYPE_CHECKING:
    from fedrun.experiment.launcher import Launcher
    from fedrun.experiment.sweep import Sweep
    from fedrun.experiment.sweep_work import Search


def sweep(
    overrides: Overrides = None,
    jobs: Annotated[
        int, typer.Option("--jobs", "-j", min=1, help="Runs at a time, of one thread each.")
    ] = 1,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List the cells and what they cost; run nothing.")
    ] = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Go on with failed cells too.")
    ] = False,
    metric: Annotated[
        str | None,
        typer.Option(
            help="The figure that is shown, and that --sampler improves.",
            show_default="stop.metric, else test/accuracy",
        ),
    ] = None,
    sampler: Annotated[
        Literal["tpe", "random"] | None,
        typer.Option(help="Search --trials cells, not the grid. Needs the extra sweep."),
    ] = None,
    trials: Annotated[int | None, typer.Option(min=1, help="Cells that are searched.")] = None,
    sampler_seed: Annotated[
        int | None, typer.Option(min=0, help="What the search draws from.", show_default="0")
    ] = None,
    prune: Annotated[
        bool, typer.Option(help="A search ends cells that fall behind the median of the others.")
    ] = True,
    launcher: Annotated[
        Literal["local", "submitit"],
        typer.Option(help="Where cells run; submitit: SLURM. Needs the extra slurm."),
    ] = "local",
    slurm: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="Of submitit's, such as partition=gpu; repeat it."),
    ] = None,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print the sweep's path only.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print what happens as JSON lines.")
    ] = False,
) -> None:
    """Run every combination of what the arguments list: seed=0,1 local.lr=0.1,0.2.

    The same command goes on where it stopped: finished cells are found again, unfinished ones
    resumed. Exit status 1 where a cell has failed; the others are run all the same.
    """
    with told():
        from fedrun.cli.sweep_view import ending, list_cells, watching

        one_voice(quiet, as_json)
        refuse(sampler, trials, sampler_seed, slurm, launcher)
        config, rest = split(overrides or [])
        planned: Sweep
        search: Search | None = None
        if sampler:
            from fedrun.experiment import sweep_search

            planned, search = sweep_search.plan(
                config, rest, sampler, trials or 0, sampler_seed or 0,
                metric=metric, retry_failed=retry_failed, prune=prune,
            )  # fmt: skip
        else:
            from fedrun.experiment import sweep as sweeps

            planned = sweeps.plan(config, rest, metric=metric, retry_failed=retry_failed)
        if dry_run:
            list_cells(planned, as_json)
            return
        from fedrun.experiment.sweep_work import work

        starter = launched(launcher, slurm, planned)
        planned.open()
        try:
            with watching(planned, quiet, as_json) as watcher:
                work(planned, jobs, starter, watcher, search)
        finally:
            planned.close()
        ending(planned, quiet, as_json)
        left = len(planned.cells) - planned.count("finished", "pruned")
        if left:
            if quiet:
                say(f"fedrun: {left} of {len(planned.cells)} cells failed; see {planned.path}")
            raise typer.Exit(1)


def refuse(
    sampler: str | None, trials: int | None, seed: int | None, slurm: list[str] | None,
    launcher: str,
) -> None:  # fmt: skip
    if sampler and trials is None:
        raise ConfigError(f"--sampler {sampler} needs --trials N: how many cells are searched")
    if not sampler and trials is not None:
        raise ConfigError("--trials has no effect without --sampler tpe or --sampler random")
    if not sampler and seed is not None:
        raise ConfigError("--sampler-seed has no effect without --sampler tpe or --sampler random")
    if slurm and launcher != "submitit":
        raise ConfigError("--slurm has no effect without --launcher submitit")


def launched(launcher: str, slurm: list[str] | None, planned: Sweep) -> Launcher:
    from fedrun.experiment.launcher import Local

    if launcher == "local":
        return Local()
    from fedrun.experiment.launcher_submitit import Submitit

    starter = Submitit(planned.path / "submitit", slurm or [])
    if starter.is_local:
        say("fedrun: there is no SLURM here: cells run in processes of this machine")
    return starter
