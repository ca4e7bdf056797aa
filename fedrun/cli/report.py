"""`fedrun report`: one HTML file of one run or many."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedrun.cli.arguments import At, By, Metric, Places, Target, Unfinished
from fedrun.cli.errors import say, told
from fedrun.core.option import ConfigError, RunError

if TYPE_CHECKING:
    from fedrun.report.page.content import Asked, Content

DASH = Path("-")  # stdout
FILE = "report.html"
OURS = b'<meta name="generator" content="fedrun'


def report(
    places: Places,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Where to write it (default: report.html in the one place named, else here); "
            "- is stdout.",
            show_default=False,
        ),
    ] = None,
    title: Annotated[str | None, typer.Option(help="The page's heading.")] = None,
    metric: Metric = None,
    at: At = "last",
    by: By = None,
    target: Target = None,
    unfinished: Unfinished = False,
    evaluate: Annotated[
        bool,
        typer.Option(
            "--evaluate", help="Score models first where that is missing, as `fedrun evaluate`."
        ),
    ] = False,
    show_clients: Annotated[
        bool,
        typer.Option(
            "--show-clients", help="Who holds what and fares how, of runs under privacy too."
        ),
    ] = False,
) -> None:
    """Write one HTML file: question, figures, curves, clients, costs, privacy, how to repeat."""
    with told():
        file = chosen(places, out)
        asked = question(metric, at, by, target, unfinished, title, show_clients)
        content = work(places, asked, evaluate)
        from fedrun.report.page.page import page

        # A file name or argument that was no Unicode stands in a manifest as half a letter.
        written = page(content, places).encode(errors="replace")
        if file == DASH:
            sys.stdout.buffer.write(written)  # UTF-8, as the page says, whatever the locale
            sys.stdout.buffer.flush()
        else:
            from fedrun.experiment.files import write_bytes

            write_bytes(file, written)
            print(file)
        for note in content.notes:
            say(note)


def chosen(places: list[Path], out: Path | None) -> Path:
    """Where to write; ConfigError where that would destroy something else."""
    if out == DASH:
        return out
    if out is not None:
        file = out.expanduser()
        if file.suffix.lower() not in (".html", ".htm"):
            raise ConfigError(f"--out {out}: the name must end in .html, or be - for stdout")
        if not file.parent.is_dir():
            raise ConfigError(f"--out {out}: there is no folder {file.parent}")
        if file.is_dir():
            raise ConfigError(f"--out {out} is a folder; name a file in it")
        return file
    place = places[0].expanduser()
    folder = place if place.is_dir() else place.parent
    file = folder / FILE if len(places) == 1 else Path(FILE)
    if file.exists() and not is_ours(file):
        raise ConfigError(
            f"{file} is there already and no report of fedrun's; choose another with --out FILE"
        )
    return file


def is_ours(file: Path) -> bool:
    if not file.is_file():
        return False
    with file.open("rb") as content:
        return OURS in content.read(2_000)


def question(
    metric: str | None, at: str, by: list[str] | None, target: float | None, unfinished: bool,
    title: str | None, show_clients: bool,
) -> Asked:  # fmt: skip
    from fedrun.report.comparison_measure import Question, read_at
    from fedrun.report.page.content import Asked

    keys = [key for word in by or [] for key in word.split(",")]
    words = ["--metric", metric] if metric else []
    words += ["--at", at] if at != "last" else []
    words += [word for key in keys for word in ("--by", key)]
    words += ["--target", f"{target!r}"] if target is not None else []
    words += ["--unfinished"] if unfinished else []
    question = Question(metric, read_at(at), target)
    return Asked(question, keys, unfinished, title, show_clients, words)


def work(places: list[Path], asked: Asked, evaluate: bool) -> Content:
    """Read the runs, once their models are scored where that is asked."""
    from fedrun.report.page.content import gather

    content = gather(places, asked)
    if evaluate:
        score(content)
    return content


def score(content: Content) -> None:
    from fedrun.cli.collector import at_work
    from fedrun.experiment.evaluation_file import evaluate_run, read_evaluation

    for record in content.records:
        if record.status != "finished":
            continue
        try:
            found, _ = read_evaluation(record.path, str(record.manifest.get("model")))
        except RunError:  # it is written again
            found = None
        if found is None:
            import torch  # noqa: F401 - before the collector is told that all is imported

            at_work()
            say(f"fedrun evaluate {shlex.quote(str(record.path))}")
            try:
                evaluate_run(record.path)
            except (ConfigError, RunError) as error:  # the page is about the others too
                say(f"{record.path} could not be scored: {error}")
            except OSError as error:
                where, why = error.filename or record.path, error.strerror or error
                say(f"{record.path} could not be scored: {where}: {why}")
