"""What `fedrun reproduce` shows: the list, the runs while they run, the verdicts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from fedrun.cli.theme import THEME, figure_of

if TYPE_CHECKING:
    from fedrun.experiment.batch import Job
    from fedrun.report.baseline import Baseline
    from fedrun.report.reproduction import Result

Row = tuple[str, ...]
COLOURS = {"within": "good", "OUTSIDE": "bad", "not reached": "bad", "failed": "bad"}


def listing(baselines: Sequence[Baseline], kept: Mapping[str, Mapping[str, Any] | None]) -> None:
    """Every baseline with its number, its cost and what came out last."""
    console = Console(theme=THEME, highlight=False)
    head = ("baseline", "paper", "band", "runs", "minutes", "last verdict")
    rows = [
        (each.name, number(each.expect.value), band(each), str(each.runs),
         f"{each.minutes:.3g}", seen(kept[each.name]))
        for each in baselines
    ]  # fmt: skip
    show(console, head, rows, [measured(each) for each in baselines])
    banded = [each.expect for each in baselines if each.expect.band is not None]
    numbers = sum(expect.value is not None for expect in banded)
    console.print(
        f"\n{numbers} published numbers, {len(banded) - numbers} directions, and "
        f"{len(baselines) - len(banded)} figures that nobody published; minutes are those of all "
        "runs on two cores.  Run some: fedrun reproduce NAME... or PATTERN"
    )


def seen(kept: Mapping[str, Any] | None) -> str:
    if kept is None:
        return "[muted]not run[/]"
    words = coloured(kept["verdict"], kept["words"].partition(":")[0])
    return words + (", of an older config" if kept["stale"] else f" {str(kept['ended'])[:10]}")


def table(results: Sequence[Result]) -> None:
    """Paper against ours; below it what a reader should know."""
    console = Console(theme=THEME, highlight=False)
    head = ("baseline", "paper", "ours: mean, sd (seeds)", "band", "verdict")
    rows = [
        (each.name, number(each.expect.value), ours(result), band(each),
         coloured(result.judged.verdict, short(result)))
        for result in results
        for each in (result.baseline,)
    ]  # fmt: skip
    show(console, head, rows, [measured(result.baseline) for result in results])
    console.print()
    for result in results:
        for remark in remarks(result):
            name = f"[bold]{result.baseline.name}[/]"
            console.print(f"{name}: {escape(remark)}", soft_wrap=True)


def show(console: Console, head: Row, rows: Sequence[Row], measured: Sequence[str]) -> None:
    """Rows under lines that say what their numbers are. The inner columns are set right; the last
    one may hold markup."""
    inner = range(1, len(head) - 1)
    widths = {at: max(len(row[at]) for row in (head, *rows)) for at in inner}
    first = max(len(row[0]) for row in (head, *rows))

    def line(row: Row, style: str) -> str:
        numbers = "  ".join(escape(row[at].rjust(widths[at])) for at in inner)
        return f"[{style}]{escape(row[0].ljust(first))}[/]  {numbers}  {row[-1]}"

    console.print(line(head, "default"), soft_wrap=True)
    said = ""
    for row, words in zip(rows, measured, strict=True):
        if words != said:
            console.print(f"[muted]{escape(words)}[/]", soft_wrap=True)
        said = words
        console.print(line(row, "bold"), soft_wrap=True)


def remarks(result: Result) -> list[str]:
    """What the numbers alone do not say."""
    found = []
    if result.setting:
        tried = " x ".join(f"{key} {values}" for key, values in result.baseline.tune.items())
        found.append(f"{' '.join(result.setting)}, the best of {tried}")
    if result.judged.verdict == "failed":
        found.append(result.judged.words)
    if not result.judged.holds and result.baseline.expect.miss:
        found.append(f"known: {result.baseline.expect.miss}")
    if result.baseline.expect.note:
        found.append(result.baseline.expect.note)
    if result.changed:
        found.append(
            f"with {' '.join(result.changed)}: not the published setting, verdict not kept"
        )
    return found


def measured(each: Baseline) -> str:
    """The metric, its protocol, and what it is compared with."""
    expect = each.expect
    if each.accounting:
        told = each.accounting
        ways = {"classic": ", classic conversion", "today": ", today's conversion"}
        way = ways[told.conversion] if told.accountant == "rdp" else ""
        return f"{expect.metric}, computed by {told.accountant}{way}"
    sign, other = ("-", expect.minus) if expect.minus else ("/", expect.over)
    against = f" {sign} {other}" if other else ""
    return f"{expect.metric}, {each.protocol}{against}"


def short(result: Result) -> str:
    """The verdict without the reason of a failure, which may be long; in brackets where it is not
    one on the published setting."""
    if result.judged.verdict == "failed":
        return "failed"
    return f"({result.judged.words})" if result.changed else result.judged.words


def ours(result: Result) -> str:
    """`0.6917, 0.0280 (5)`; of a target that some seeds missed, each seed's number."""
    each, judged = result.baseline, result.judged
    if judged.mean is None:
        reached = any(value is not None for value in judged.values)
        return ", ".join(mine(each, value) for value in judged.values) if reached else "-"
    mean, sd = (mine(each, value) for value in (judged.mean, judged.sd))
    if each.accounting:
        return mean
    return f"{mean}, {sd} ({len(result.seeds)})"


def mine(each: Baseline, value: float | None) -> str:
    """A figure of ours: rounds to a tenth, anything else to four digits."""
    if value is None:
        return "-"
    counts = each.protocol.counts_rounds and not each.expect.over
    return f"{value:.1f}" if counts else figure_of(each.expect.metric, value)


def number(value: float | None) -> str:
    """A figure as a baseline states it."""
    return "-" if value is None else f"{value:g}"


def band(each: Baseline) -> str:
    if each.expect.band is None:
        return "-"
    low, high = each.expect.band
    if low is None or high is None:
        return f"<= {number(high)}" if low is None else f">= {number(low)}"
    return f"{number(low)} to {number(high)}"


def coloured(verdict: str, words: str) -> str:
    return f"[{COLOURS.get(verdict, 'muted')}]{escape(words)}[/]"


class Bars:
    """A bar for each run at work, where there is a terminal; a line for each that has ended."""

    def __init__(self, progress: Progress, count: int) -> None:
        self.progress, self.tasks, self.count, self.ready = progress, {}, count, 0

    def started(self, job: Job) -> None:
        self.tasks[job.path] = self.progress.add_task(title(job), total=job.rounds)

    def advanced(self, job: Job, round: int) -> None:
        self.progress.update(self.tasks[job.path], completed=round)

    def ended(self, job: Job, failure: str | None) -> None:
        self.progress.remove_task(self.tasks.pop(job.path))
        self.told(job, "done" if failure is None else f"[bad]failed[/]: {escape(failure)}")

    def left(self, job: Job, round: int) -> None:
        if job.path in self.tasks:
            self.progress.remove_task(self.tasks.pop(job.path))
        self.told(job, f"left in round {round}: another setting took fewer")

    def told(self, job: Job, end: str) -> None:
        self.ready += 1
        self.progress.console.print(
            f"[muted]{self.ready}/{self.count}[/] {title(job)} {end}", soft_wrap=True
        )


@contextmanager
def watching(jobs: Sequence[Job]) -> Iterator[Bars]:
    """On stderr, so that stdout holds the table alone."""
    console = Console(theme=THEME, highlight=False, stderr=True)
    unfinished = {job.path for job in jobs if not job.finished}
    ready = len({job.path for job in jobs}) - len(unfinished)
    if ready:
        console.print(
            f"[muted]{ready} {'run is' if ready == 1 else 'runs are'} finished already[/]"
        )
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("rounds"),
        TimeElapsedColumn(),
    )  # fmt: skip
    live = console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=not live) as progress:
        bars = Bars(progress, len(unfinished))
        try:
            yield bars
        except KeyboardInterrupt:
            progress.stop()
            console.print("Saved; the same command goes on.")
            raise


def title(job: Job) -> str:
    return escape(f"{job.path.parent.name}/{job.path.name}")
