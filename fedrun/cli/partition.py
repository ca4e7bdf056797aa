"""`fedrun partition`: who holds what."""

from __future__ import annotations

from rich.console import Console

from fedrun.cli.arguments import Overrides, compose_arguments
from fedrun.cli.collector import at_work
from fedrun.cli.errors import told


def partition(overrides: Overrides = None) -> None:
    """Show who would hold what, as a table and a picture; train nothing."""
    with told():
        from fedrun.cli.partition_view import show
        from fedrun.experiment.build import hold

        at_work()
        held = hold(compose_arguments(overrides).values)
        show(Console(highlight=False), held.dataset, held.partition, held.settings.seed)
