"""What a run looks like while it runs, and how it ends."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from fedrun.cli.errors import unshown
from fedrun.cli.privacy_view import privacy_lines
from fedrun.cli.theme import (
    COLUMNS,
    THEME,
    amount,
    duration,
    figure,
    figure_of,
    is_live,
    name_of,
    sparkline,
)
from fedrun.core.metric import SCORED
from fedrun.experiment.build import Experiment
from fedrun.experiment.config_file import read
from fedrun.experiment.files import read_json, read_metrics
from fedrun.experiment.loop import Event

EPSILON = "privacy/epsilon"


class Watching:
    """Sees a run go by, and remembers what the closing words need."""

    def __init__(self) -> None:
        self.path: Path | None = None
        self.rounds_done = 0

    def started(self, path: Path, experiment: Experiment, history: Sequence[Any]) -> None:
        self.path = path
        self.rounds = experiment.settings.rounds
        self.history: list[Mapping[str, float]] = list(history)
        self.began, self.first = monotonic(), len(history)
        self.cohort = experiment.federation.cohort_size
        with self.shown():
            self.begin(experiment)

    def begin(self, experiment: Experiment) -> None:
        pass

    def round(self, event: Event) -> None:
        self.history.append(event.metrics)
        self.rounds_done += 1
        with self.shown():
            self.show(event)

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Where stdout cannot be written the run ends, saved: its own files are not to blame."""
        try:
            yield
        except OSError as error:
            raise unshown(sys.stdout, error, self.how_to_resume()) from None

    def how_to_resume(self) -> str:
        if self.path is None:
            return ""
        return f"; go on with: fedrun resume {shlex.quote(str(self.path))}"

    def show(self, event: Event) -> None:
        pass

    def remaining(self) -> float:
        """Seconds until the last round at the pace of this process so far."""
        done = len(self.history)
        return (monotonic() - self.began) / max(done - self.first, 1) * (self.rounds - done)

    def clients_per_second(self) -> float:
        """How many are asked, at the pace of this process so far; who came may be a secret."""
        rounds = len(self.history) - self.first
        return rounds * self.cohort / max(monotonic() - self.began, 1e-9)


class Lines(Watching):
    """One plain line a round, for logs and pipes."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self.console = console

    def begin(self, experiment: Experiment) -> None:
        self.console.print(heading(experiment), soft_wrap=True, markup=False)

    def show(self, event: Event) -> None:
        parts = [f"round {event.state.round}/{self.rounds}"]
        parts += [
            f"{name} {figure_of(name, event.metrics[name])}"
            for name in COLUMNS
            if name in event.metrics
        ]
        if event.metrics.get("clients/rejected"):
            parts.append(f"rejected {event.metrics['clients/rejected']}")
        parts.append(f"{event.metrics['time/round_seconds']:.2f} s")
        self.console.print("  ".join(parts), soft_wrap=True)


class Screen(Watching):
    """A few lines that renew themselves: progress, pace, the time left, figures, sparklines."""

    def __init__(self, live: Live) -> None:
        super().__init__()
        self.live = live

    def begin(self, experiment: Experiment) -> None:
        self.title = heading(experiment)
        claimed = experiment.privacy.claim is not None and self.path is not None
        self.budget = target(self.path) if claimed else None
        self.live.start()
        self.draw()

    def show(self, event: Event) -> None:
        last = len(self.history) == self.rounds or event.stopped
        if last or monotonic() - self.drawn > 0.1:  # drawing must not slow short rounds down
            self.draw()

    def draw(self) -> None:
        self.live.update(self.picture(), refresh=True)
        self.drawn = monotonic()

    def picture(self) -> Group:
        options = self.live.console.options
        table = Table.grid(padding=(0, 2))
        for name in COLUMNS:
            values = [line[name] for line in self.history if name in line]
            if values:
                course = f"[course]{sparkline(values, ascii_only=options.ascii_only)}[/]"
                if name == EPSILON and self.budget:
                    course = f"[muted]target {self.budget:g}[/]"
                table.add_row(f"[key]{name_of(name)}[/]", figure_of(name, values[-1]), course)
        return Group(Text(self.title), self.bar(options.max_width), table)

    def bar(self, width: int) -> Table:
        """Rounds done, seconds gone and to come, and how many clients a second are asked."""
        done = len(self.history)
        head, words = f"round {done}/{self.rounds}", duration(monotonic() - self.began)
        if done > self.first:
            words += f", {duration(self.remaining())} left, {rate(self.clients_per_second())}"
        room = width - len(head) - len(words) - 2
        bar = Table.grid(padding=(0, 1))
        middle = ProgressBar(total=max(self.rounds, 1), completed=done, width=max(min(room, 30), 5))
        bar.add_row(head, middle, f"[muted]{words}[/]")
        return bar


def rate(clients: float) -> str:
    """
    >>> rate(1234.5), rate(0.123)
    ('1,234 clients/s', '0.12 clients/s')
    """
    return f"{clients:,.0f} clients/s" if clients >= 10 else f"{clients:.2g} clients/s"


def target(path: Path) -> float | None:
    """What epsilon a run may reach, where its config says so."""
    found = read(path / "config.yaml")["privacy"].get("target_epsilon")
    return None if found is None else float(found)


@contextmanager
def observer(quiet: bool, as_json: bool = False) -> Iterator[Watching]:
    """The view that fits: a live one on a terminal, lines in a pipe; JSON or nothing if asked."""
    console = Console(theme=THEME, highlight=False)
    if as_json:
        from fedrun.cli.events import watching as events

        with events() as watched:
            yield watched
    elif quiet:
        with told_how_to_resume(Watching()) as watched:
            yield watched
    elif is_live(console):
        # no thread of its own beside the workers
        live = Live(console=console, auto_refresh=False, transient=True)
        watching = Screen(live)
        try:
            yield watching
        except KeyboardInterrupt:
            live.stop()
            say_how_to_resume(watching)
            raise
        finally:
            live.stop()
    else:
        with told_how_to_resume(Lines(console)) as watched:
            yield watched


@contextmanager
def told_how_to_resume(watching: Watching) -> Iterator[Watching]:
    try:
        yield watching
    except KeyboardInterrupt:
        say_how_to_resume(watching)
        raise


def heading(experiment: Experiment) -> str:
    federation, engine = experiment.federation, experiment.engine
    slower = f"\nengine {engine.name}, {engine.how}: {engine.why}" if engine.why else ""
    return (
        f"{experiment.dataset.name}: {len(federation.held):,} clients "
        f"({amount(federation.cohort_size)} a round), {experiment.partition.rule}, "
        f"{len(experiment.dataset.train):,} examples{slower}"
    )


def say_how_to_resume(watching: Watching) -> None:
    if watching.path is not None:
        where = shlex.quote(str(watching.path))
        print(
            f"\nSaved after round {len(watching.history)}. Go on with: fedrun resume {where}",
            file=sys.stderr,
        )


def ending(path: Path, watching: Watching, quiet: bool, as_json: bool = False) -> None:
    """The closing words on the terminal; for scripts the run's path alone, or one more event."""
    if as_json:
        from fedrun.cli.events import finished

        finished(path, watching)
    elif quiet:
        print(path)
    else:
        closing(path, watching, Console(theme=THEME, highlight=False))


def closing(path: Path, watching: Watching, console: Console, shown: Path | None = None) -> None:
    """The run's figures, where it lies (`shown` instead of its path), and what to do next."""
    summary = read_json(path / "summary.json")
    lines = read_metrics(path)
    ascii_only = console.options.ascii_only
    if watching.path is None:
        console.print("This run is finished already; nothing was trained again.")
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("")
    for heading in ("last round", "best", "in round"):
        table.add_column(heading, justify="right")
    table.add_column("course" if lines else "")
    names = [name for name in summary["final"] if "@" not in name
             and name.startswith((*SCORED, "train/loss", "train/accuracy"))]  # fmt: skip
    widest = max((len(name_of(name)) for name in names), default=0)
    room = max(min(26, console.width - widest - 37), 4)  # beside three columns of figures
    for name, value in summary["final"].items():
        if name in names:
            best = summary["best"].get(name)
            row = (figure(best["value"]), str(best["round"])) if best else ("", "")
            values = [line[name] for line in lines if name in line]
            course = sparkline(values, room, ascii_only=ascii_only) if values else ""
            table.add_row(f"[key]{name_of(name)}[/]", figure(value), *row, f"[course]{course}[/]")
    console.print(table)
    rejected = sum(line.get("clients/rejected", 0) for line in lines)
    if rejected:
        console.print(f"\n{rejected} updates of clients were rejected: they were not finite")
    sent = summary["comm/up_bytes"] + summary["comm/down_bytes"]
    speed = summary.get("time/examples_per_second")
    console.print(
        f"\n{summary['rounds']} round{'s' * (summary['rounds'] != 1)} ({summary['stopped']}) "
        f"in {duration(summary['time/seconds'])}, "
        + (f"{speed:,.0f} examples/s, " if speed is not None else "")
        + f"{sent / 1e6:,.1f} MB sent",
        soft_wrap=True,
    )
    for line in privacy_lines(summary.get("privacy")):
        console.print(line, soft_wrap=True, markup=False)
    where = shlex.quote(str(shown or path))
    for line in (
        f"\nrun      {where}",
        f"score    fedrun evaluate {where}",
        f"longer   fedrun resume {where} rounds={summary['rounds'] + 20}",
    ):
        console.print(line, soft_wrap=True, markup=False)
