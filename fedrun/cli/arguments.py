"""What the commands share: overrides and the config taken out of them, runs, questions to runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedrun.cli.completion import complete
from fedrun.cli.errors import told
from fedrun.core.option import ConfigError

if TYPE_CHECKING:
    from fedrun.experiment.compose import Composed

Overrides = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[KEY=VALUE]...",
        help="config=NAME or config=FILE.yaml, group=choice, key=value; Tab completes them.",
        autocompletion=complete,
        show_default=False,
    ),
]


def read_path(text: str) -> Path:
    """A place that is named, for Typer to read; `Path("")` would be the current folder."""
    with told():
        if not text.strip():
            raise ConfigError("an empty path; write . for the current folder")
    return Path(text)


OneRun = Annotated[Path, typer.Argument(parser=read_path, metavar="RUN", help="The run directory.")]
Places = Annotated[
    list[Path],
    typer.Argument(
        parser=read_path,
        metavar="RUN|SWEEP|FOLDER...",
        help="Run directories, sweeps, and folders to search for runs.",
    ),
]
Metric = Annotated[
    str | None, typer.Option(help="A key of metrics.jsonl (default: test/accuracy or test/loss).")
]
At = Annotated[
    str, typer.Option(help="last, best, mean_last:K, rounds_to:X, first_to:X or round:N.")
]
By = Annotated[
    list[str] | None,
    typer.Option(metavar="KEY", help="Group by this key alone; once for each key."),
]
Target = Annotated[
    float | None, typer.Option(help="Also rounds, bytes and seconds to this figure.")
]
Unfinished = Annotated[
    bool, typer.Option("--unfinished", help="Count unfinished runs as far as they came.")
]


def compose_arguments(arguments: list[str] | None) -> Composed:
    """The config that a command line asks for."""
    from fedrun.experiment.compose import compose

    config, overrides = split(arguments or [])
    return compose(config, overrides)


def split(arguments: list[str]) -> tuple[str, list[str]]:
    """`config=` may be given once; what remains are Hydra overrides.

    >>> split(["rounds=2", "config=example/clinics"])
    ('example/clinics', ['rounds=2'])
    """
    named = [word.removeprefix("config=") for word in arguments if word.startswith("config=")]
    if len(named) > 1:
        raise ConfigError(f"config= is given {len(named)} times ({', '.join(named)}); give it once")
    if named == [""]:
        raise ConfigError("config= names nothing; write config=NAME or config=FILE.yaml")
    rest = [word for word in arguments if not word.startswith("config=")]
    return (named[0] if named else "train"), rest
