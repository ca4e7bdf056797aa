"""The tables of `fedrun sweep`: one that fits the window, the closing one, the one of costs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from fedrun.cli.theme import duration, figure_of, name_of

if TYPE_CHECKING:
    from fedrun.experiment.sweep import Cell, Sweep

STATES = {
    "finished": "[good]done[/]",
    "running": "[key]running[/]",
    "failed": "[bad]failed[/]",
    "pruned": "[muted]pruned[/]",
    "interrupted": "[muted]unfinished[/]",
    "waiting": "[muted]waiting[/]",
}
FIXED = 27  # letters that state, round and the gaps take
EPSILON = "privacy/epsilon"
MANY = 60  # cells: of more the closing table shows what matters


def counts(sweep: Sweep) -> str:
    """`24 cells: 3 done, 1 failed, 20 to run`, and what was left out."""
    words = {"done": ("finished",), "failed": ("failed",), "pruned": ("pruned",),
             "running": ("running",), "to run": ("waiting", "interrupted")}  # fmt: skip
    found = [f"{sweep.count(*status)} {word}" for word, status in words.items()
             if sweep.count(*status)]  # fmt: skip
    if sweep.size > len(sweep.cells):
        found.append(f"{sweep.size - len(sweep.cells)} to be proposed")
    again = f" ({sweep.retold} more came to the same configs)" if sweep.retold else ""
    size = sweep.size
    return f"{size} cell{'s' * (size != 1)}: {', '.join(found)}{again}"


def picture(sweep: Sweep, elapsed: float, width: int, height: int) -> RenderableType:
    """How it stands: a bar, and as many cells as fit, those at work first."""
    done = sum(cell.round / max(cell.rounds, 1) if cell.status != "failed" else 1
               for cell in sweep.cells)  # fmt: skip
    bar = Table.grid(padding=(0, 1))
    left = remaining(sweep, elapsed)
    bar.add_row(
        ProgressBar(total=max(sweep.size, 1), completed=done, width=30),
        f"[muted]{duration(elapsed)}{f'  {duration(left)} left' if left is not None else ''}[/]",
    )
    room = max(height - 4, 3)
    shown, hidden = chosen(sweep.cells, room)
    rows = table(sweep, shown, width)
    below = Text(f"and {hidden}", style="dim") if hidden else Text("")
    return Group(Text(counts(sweep), no_wrap=True, overflow="ellipsis"), bar, rows, below)


def remaining(sweep: Sweep, elapsed: float) -> float | None:
    """Seconds until the last round of all, at the pace of this process so far."""
    done = sum(cell.round - cell.begun_at for cell in sweep.cells)
    pending = [cell for cell in sweep.cells if cell.status in ("waiting", "interrupted", "running")]
    if not done:
        return None
    return elapsed / done * sum(cell.rounds - cell.round for cell in pending)


def chosen(cells: Sequence[Cell], room: int) -> tuple[list[Cell], str]:
    """The cells that are worth the room, in their own order; and the others in words.

    Those at work; then what failed; then what was done last; then what comes next.
    """
    if len(cells) <= room:
        return list(cells), ""
    ranks = ("running", "failed", "finished", "interrupted", "waiting", "pruned")
    groups = {rank: [cell for cell in cells if cell.status == rank] for rank in ranks}
    groups["finished"].sort(key=lambda cell: -cell.ended)
    groups["failed"].sort(key=lambda cell: -cell.ended)
    coming = groups["interrupted"] + groups["waiting"]
    kept = groups["running"][:room]
    some = [(groups["failed"], 3), (coming, 2), (groups["finished"], room), (coming[2:], room),
            (groups["failed"][3:], room)]  # fmt: skip
    for group, most in some:
        kept += group[: min(most, room - len(kept))]
    numbers = {cell.number for cell in kept}
    rest = [cell.status for cell in cells if cell.number not in numbers]
    words = {"finished": "done", "interrupted": "unfinished"}
    said = [f"{rest.count(rank)} {words.get(rank, rank)}" for rank in ranks if rank in rest]
    return sorted(kept, key=lambda cell: cell.number), ", ".join(said) + " more"


def table(sweep: Sweep, cells: Sequence[Cell], width: int, *, why: bool = True) -> Table:
    """Number, what the sweep has set, state, round, figure: one line each, however narrow.

    why: the reason of a failure stands in the figure's place, as far as there is room.
    """
    keys = list(dict.fromkeys(key_of(word) for cell in sweep.cells for word in cell.swept))
    metric = shown_metric(sweep)
    end = name_of(metric) if metric else ""
    columns = [max(len(key), *(len(value_of(cell, key)) for cell in sweep.cells)) for key in keys]
    spends = any(EPSILON in cell.figures for cell in sweep.cells)
    room = width - len(str(len(sweep.cells))) - FIXED - max(len(end), 6) - 9 * spends
    apart = sum(columns) + 2 * len(columns) <= room  # a column for each key, where they fit
    # What is too long ends in dots; the last column takes what is left.
    view = Table(box=None, padding=(0, 2, 0, 0), expand=True, header_style="muted", width=width)
    view.add_column("", justify="right", no_wrap=True)
    if apart:
        for key, wide in zip(keys, columns, strict=True):
            view.add_column(escape(key), no_wrap=True, min_width=wide)
    else:
        lines = {cell.number: " ".join(value_of(cell, key) for key in keys) for cell in cells}
        wide = max(4, min(room, max((len(line) for line in lines.values()), default=4)))
        heads = " ".join(key.rpartition(".")[2] for key in keys)
        view.add_column(escape(tail(heads, wide)), no_wrap=True, min_width=wide)
    view.add_column("state", no_wrap=True, min_width=10)
    view.add_column("round", justify="right", no_wrap=True, min_width=7)
    if spends:
        view.add_column("epsilon", justify="right", no_wrap=True, min_width=7)
    view.add_column(end, no_wrap=True, overflow="ellipsis", ratio=1)
    for cell in cells:
        words = [value_of(cell, key) for key in keys] if apart else [tail(lines[cell.number], wide)]
        spent = [spending(cell)] * spends
        view.add_row(str(cell.number), *map(escape, words), state(cell), rounds(cell), *spent,
                     outcome(cell, metric, why=why))  # fmt: skip
    return view


def shown_metric(sweep: Sweep) -> str | None:
    found = (cell.figure(sweep.metric) for cell in sweep.cells)
    return next((each[0] for each in found if each), sweep.metric)


def state(cell: Cell) -> str:
    if cell.elsewhere:
        return "[muted]elsewhere[/]"
    return STATES[cell.status]


def rounds(cell: Cell) -> str:
    if cell.status == "finished":
        return str(cell.round)
    return f"{cell.round}/{cell.rounds}" if cell.round or cell.status == "running" else ""


def spending(cell: Cell) -> str:
    """The epsilon of the rounds that are done."""
    epsilon = cell.figures.get(EPSILON)
    return "" if epsilon is None else figure_of(EPSILON, epsilon)


def outcome(cell: Cell, metric: str | None, *, why: bool) -> str:
    if cell.status == "failed":
        return f"[bad]{escape(' '.join((cell.reason or '').split()))}[/]" if why else ""
    value = cell.figures.get(metric or "")
    return "" if metric is None or value is None else figure_of(metric, value)


def tail(text: str, width: int) -> str:
    """The end of a text that is too long: there stands what varies fastest."""
    return text if len(text) <= width else f"…{text[len(text) - width + 1 :]}"


def key_of(word: str) -> str:
    return word.partition("=")[0]


def value_of(cell: Cell, key: str) -> str:
    found = (word.partition("=")[2] for word in cell.swept if key_of(word) == key)
    return next(found, "")


def closing(sweep: Sweep, console: Console) -> None:
    """All cells, and why some have failed; of very many the best ten."""
    cells, metric = list(sweep.cells), shown_metric(sweep)
    bad = [cell for cell in cells if cell.status == "failed"]
    if len(cells) > MANY:
        cells = ranked(sweep)[:10]
        console.print(f"the ten best of {len(sweep.cells)} cells:\n")
    console.print(table(sweep, cells, console.width, why=False), crop=False)
    if bad:
        console.print()
    for cell in bad[:20]:
        line = f"{cell.number} {cell.title}  [bad]failed[/]: "
        console.print(f"{line}{escape(cell.reason or '')}", soft_wrap=True)
    if bad[20:]:
        console.print(f"... and {len(bad) - 20} more; {sweep.path}/sweep.json has their reasons")
    console.print(f"\n{counts(sweep)}", soft_wrap=True, markup=False)
    if sweep.search and (best := next(iter(ranked(sweep)), None)):
        value = figure_of(metric or "", best.figures[metric or ""])
        console.print(
            f"best: {best.title}, {metric} {value}; chosen by that very figure, so "
            "optimistic: run it with other seeds",
            soft_wrap=True, markup=False,
        )  # fmt: skip


def ranked(sweep: Sweep) -> list[Cell]:
    """The finished cells, the best first."""
    from fedrun.core.metric import is_better

    metric = shown_metric(sweep)
    good = [cell for cell in sweep.cells if cell.status == "finished" and metric in cell.figures]
    if metric is None:
        return []
    return sorted(good, key=lambda cell: -is_better(metric) * cell.figures[metric])


def cost_table(sweep: Sweep, console: Console) -> None:
    """What `--dry-run` shows: a line for each cell, as long as it is."""
    from fedrun.experiment.sweep_cost import seconds, updates

    rows, total, lacking, time = [], 0, False, 0.0
    for cell in sweep.cells:
        cost, ahead = updates(cell), None
        if cell.status in ("waiting", "interrupted"):
            ahead = seconds(cell, sweep.cells)
            lacking = lacking or cost is None
            total += round((cost or 0) * (1 - cell.round / max(cell.rounds, 1)))
            time += ahead or 0
        rows.append((
            str(cell.number), cell.title, cell.status, rounds(cell) or str(cell.rounds),
            "?" if cost is None else f"{cost:,}", "" if ahead is None else duration(ahead),
            str(cell.job.path),
        ))  # fmt: skip
    head = ("", "cell", "state", "rounds", "updates", "about", "run")
    wide = [max(len(row[at]) for row in (head, *rows)) for at in range(len(head))]
    for row, style in [(head, "muted"), *((row, "none") for row in rows)]:
        left = (0, 3, 4, 5)  # numbers, set to the right
        cut = [word.rjust(size) if at in left else word.ljust(size)
               for at, (word, size) in enumerate(zip(row, wide, strict=True))]  # fmt: skip
        console.print("  ".join(cut).rstrip(), style=style, soft_wrap=True, markup=False)
    more = ", more where only the data say how many clients there are" if lacking else ""
    about = f", about {duration(time)} of one process" if time else ""
    console.print(f"\n{counts(sweep)}; {total:,} client updates{more}{about}", soft_wrap=True)
    console.print(f"sweep  {sweep.path}\nNothing was run or written.", soft_wrap=True, markup=False)
