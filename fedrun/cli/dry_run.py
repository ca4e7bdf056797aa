"""`fedrun train --dry-run`: everything is built and checked, nothing is trained or written."""

from __future__ import annotations

import shlex

from rich.console import Console

from fedrun.cli.theme import amount
from fedrun.experiment.build import build
from fedrun.experiment.compose import Composed
from fedrun.experiment.loop import check_stop
from fedrun.experiment.place import run_path
from fedrun.experiment.summary import test_set
from fedrun.experiment.tracking import trackers


def dry_run(composed: Composed) -> None:
    """Say in a few lines what would run."""
    trackers(composed.values)  # their libraries are there
    experiment = build(composed.values)
    check_stop(experiment)
    federation, settings = experiment.federation, experiment.settings
    sizes = federation.held.sizes
    parameters = sum(p.numel() for p in experiment.task.module.parameters())
    steps = float(federation.work.num_steps(sizes).mean())
    chosen = "  ".join(f"{group}={name}" for group, name in composed.choices.items())
    console = Console(highlight=False, soft_wrap=True, markup=False)
    console.print(f"{chosen}\n")
    console.print(f"data       {len(experiment.partition.train.rows):,} training examples")
    console.print(f"tests      {test_set(experiment)}")
    console.print(
        f"partition  {experiment.partition.rule}, {len(sizes):,} clients of "
        f"{sizes.min():,} to {sizes.max():,} examples"
    )
    console.print(f"model      {parameters:,} parameters")
    rounds = f"{settings.rounds:,} round{'s' * (settings.rounds != 1)}"
    console.print(
        f"training   {rounds} of {amount(federation.cohort_size)} clients, "
        f"{steps:,.0f} steps each on average"
    )
    if experiment.privacy.claim:
        console.print(f"privacy    fedrun budget {shlex.join(composed.command)}")
    console.print(f"run        {run_path(composed)}")
    console.print("\nEverything checks out; nothing was trained or written.")
