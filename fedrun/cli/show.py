"""`fedrun show`: the config that `train` would run."""

from __future__ import annotations

import sys

from fedrun.cli.arguments import Overrides, compose_arguments
from fedrun.cli.errors import told


def show(overrides: Overrides = None) -> None:
    """Print the resolved, checked config; run nothing."""
    with told():
        from fedrun.experiment.bind import bind_all
        from fedrun.experiment.choices import nodes
        from fedrun.experiment.compose import dump
        from fedrun.experiment.settings import read_settings

        composed = compose_arguments(overrides)
        read_settings(composed.values)
        bind_all(nodes(composed.values))
        text = dump(composed.values)
        if sys.stdout.isatty():
            from rich.console import Console
            from rich.syntax import Syntax

            Console().print(Syntax(text, "yaml", background_color="default"))
        else:
            sys.stdout.write(text)
