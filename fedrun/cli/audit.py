"""`fedrun audit`: whether a run holds what it wrote; and, with `--privacy`, whether a mechanism
holds what it claims."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fedrun.cli.arguments import compose_arguments
from fedrun.cli.collector import at_work
from fedrun.cli.completion import complete
from fedrun.cli.errors import told
from fedrun.core.option import ConfigError


def audit(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="RUN | --privacy [KEY=VALUE]...",
            help="A run directory; or, with --privacy, a config as for train.",
            autocompletion=complete,
            show_default=False,
        ),
    ] = None,
    privacy: Annotated[
        bool,
        typer.Option("--privacy", help="Attack a config with canaries; measured against claimed."),
    ] = False,
    canaries: Annotated[
        int | None,
        typer.Option(
            "--canaries", min=1, help="With --privacy: how many (1000).", show_default=False
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Verify a run's ledger, hashes and figures; or measure what a mechanism gives away.

    Ends with 1 where something was altered, or where more is measured than is claimed.
    """
    with told():
        if privacy:
            holds = of_mechanism(words or [], canaries, as_json)
        else:
            holds = of_run(words or [], canaries, as_json)
    if not holds:
        raise typer.Exit(1)


def of_run(words: list[str], canaries: int | None, as_json: bool) -> bool:
    if canaries is not None:
        raise ConfigError("--canaries has no effect without --privacy")
    if words == [""]:
        raise ConfigError("an empty path; write . for the current folder")
    if len(words) != 1:
        raise ConfigError(
            f"audit takes one run directory, and {len(words)} are given; or write "
            f"fedrun audit --privacy [KEY=VALUE]..."
        )
    from fedrun.cli import audit_view
    from fedrun.experiment.audit import verify

    report = verify(Path(words[0]))
    if as_json:
        audit_view.as_json(report.to_json())
    else:
        audit_view.of_run(report)
    return report.holds


def of_mechanism(words: list[str], canaries: int | None, as_json: bool) -> bool:
    bare = next((word for word in words if "=" not in word and word[:1] != "~"), None)
    if bare is not None:
        raise ConfigError(
            f"--privacy audits a config, written as KEY=VALUE, and not {bare}; "
            f"a run's own config is config={bare}/config.yaml"
        )
    from fedrun.cli import audit_view
    from fedrun.experiment import audit_mechanism

    composed = compose_arguments(words)
    at_work()
    with audit_view.progress(as_json) as step:
        found = audit_mechanism.audit(composed.values, canaries, told=step)
    if as_json:
        audit_view.as_json(found.to_json())
    else:
        audit_view.of_mechanism(found)
    return found.verdict == "consistent"
