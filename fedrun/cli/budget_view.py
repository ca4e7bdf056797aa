"""What `fedrun budget` prints."""

from __future__ import annotations

from math import ceil, floor, log10
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from fedrun.cli.theme import THEME
from fedrun.core.bound import upwards

NEIGHBOURS = {
    "add_remove": "one {} is there or not",
    "zero_out": "one {} counts as nothing or not",
    "replace_one": "one {} is another",
}


def show(answer: dict[str, Any]) -> None:
    """The bound, what it is of, every accountant's own, and what to know besides."""
    console = Console(theme=THEME, highlight=False)
    best = answer["best"]
    console.print(f"[bold]epsilon <= {upwards(best['epsilon'])}[/] with delta {answer['delta']:g}")
    if "target_epsilon" in answer:
        noise, target = enough(answer["noise_multiplier"]), answer["target_epsilon"]
        console.print(f"[bold]noise multiplier {noise}[/] is the least for epsilon {target:g}")
    console.print()
    for name, text in described(answer):
        console.print(f"[muted]{name:<11}[/] {escape(text)}")
    console.print()
    console.print(accountants(answer))
    if "table" in answer:
        console.print()
        console.print(rows(answer["table"]))
    if answer["warnings"]:
        console.print()
    for text in answer["warnings"]:
        console.print(f"[bad]warning[/]: {escape(text)}", soft_wrap=not console.is_terminal)


def described(answer: dict[str, Any]) -> list[tuple[str, str]]:
    sampling, unit = answer["sampling"], answer.get("unit", "participant")
    who = f"{sampling['scheme']}, rate {sampling['rate']:.4g}"
    if sampling["population"] is not None:
        who += f": {sampling['cohort']:,g} of {sampling['population']:,}"
    lines = [
        ("mechanism", mechanism(answer)),
        ("sampling", who),
        ("rounds", f"{answer['rounds']:,}"),
        ("neighbours", f"{NEIGHBOURS[answer['relation']].format(unit)} ({answer['relation']})"),
    ]
    if len(answer["events"]) > 1:
        lines.append(("besides", f"{len(answer['events']) - 1} other kinds of release"))
    if "trust" in answer:
        lines.append(("trust", answer["trust"]))
    return lines


def mechanism(answer: dict[str, Any]) -> str:
    event = max(answer["events"], key=lambda event: event["count"])
    if answer["mechanism"] == "randomized_response":
        return f"randomized response, {event['classes']} answers, epsilon {event['epsilon']:g} each"
    words = {
        "gaussian": "gaussian noise on the sum of {:.5g} clip norms",
        "laplace": "laplace noise of scale {:.5g} L1 clip norms",
        "tree": "tree of gaussian noise, {:.5g} clip norms at each node",
        "banded": "banded matrix of gaussian noise, {:.5g} times its sensitivity",
    }
    text = words[answer["mechanism"]].format(answer["noise_multiplier"])
    return text + (f", restarted every {event['restart']} rounds" if event.get("restart") else "")


def accountants(answer: dict[str, Any]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("accountant")
    table.add_column("epsilon", justify="right")
    table.add_column("by", style="muted")
    for name, epsilon in answer["epsilon"].items():
        least = name == answer["best"]["accountant"]
        text = upwards(epsilon)
        table.add_row(name, f"[bold]{text}[/]" if least else text, answer["accountants"][name])
    for name, why in answer["refused"].items():
        table.add_row(name, "-", escape(why))
    return table


def rows(content: dict[str, Any]) -> Table:
    """A line for each cohort, noise or target; the column that is varied comes first."""
    found, over = content["rows"], content["over"]
    table = Table(box=None, padding=(0, 2, 0, 0))
    columns = {
        "cohort": "cohort",
        "rate": "rate",
        "noise_multiplier": "noise",
        "target_epsilon": "target",
    }
    order = {
        "cohort": ["cohort", "rate"],
        "noise": ["noise_multiplier"],
        "epsilon": ["target_epsilon", "noise_multiplier"],
    }[over]
    names = list(found[0]["epsilon"]) if found else []
    names.sort(key=["pld", "rdp", "exact", "pure"].index)
    drowned = bool(found) and found[0]["noise_norm"] is not None
    for key in order:
        table.add_column(columns[key], justify="right")
    for name in names:
        table.add_column(f"epsilon, {name}", justify="right")
    if drowned:
        table.add_column("noise / update", justify="right")
    for row in found:
        cells = [f"{row[key]:,.5g}" if key != "cohort" else f"{row[key]:,g}" for key in order]
        cells += [upwards(row["epsilon"][name]) for name in names]
        table.add_row(*cells, *([f"{row['noise_norm']:.3g}"] if drowned else []))
    return table


def enough(noise: float) -> str:
    """Five digits, rounded up: a little less noise would not do."""
    last = 10.0 ** (floor(log10(noise)) - 4)
    return f"{ceil(noise / last - 1e-6) * last:.5g}"
