"""A comparison as headings and cells: what every form of the table has in common."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fedrun.core.bound import is_bound, upwards
from fedrun.report.comparison import Comparison, Group
from fedrun.report.comparison_pair import Pair
from fedrun.report.statistics import Spread

MISSING = "-"
Number = Callable[[float], str]


@dataclass(frozen=True)
class Table:
    """`heads` and `rows` of text; the first `keys` columns tell the groups apart."""

    caption: str
    heads: list[str]
    rows: list[list[str]]
    keys: int


def table(comparison: Comparison) -> Table:
    """Mean, sd and interval of the figure, then the means of everything else."""
    shown = comparison.grouping.shown
    heads = [*(shown or ["runs"]), "mean", "sd", "95 % interval", "n"]
    columns = [name for name in comparison.columns if name != "value"]
    heads += [heading(name, comparison) for name in columns]
    rows = []
    for group in comparison.groups:
        keys = [group.texts[key] for key in shown] if shown else ["all"]
        rows.append([*keys, *figure_cells(group, comparison),
                     *(cell(group, name) for name in columns)])  # fmt: skip
    return Table(caption(comparison), heads, rows, max(len(shown), 1))


def caption(comparison: Comparison) -> str:
    """What the numbers are of: `test/accuracy, last round; mean, sd and 95 % t-interval over
    seeds`."""
    return (
        f"{comparison.metric}, {comparison.at}; mean, sd and 95 % t-interval over {comparison.over}"
    )


def heading(name: str, comparison: Comparison) -> str:
    best = comparison.at.kind == "best"
    to = f" to {comparison.target:g}" if comparison.target is not None else ""
    return {
        "round": "best round" if best else "at round",
        "bytes": "MB",
        "seconds": "simulated s",
        "target_rounds": f"rounds{to}",
        "target_bytes": f"MB{to}",
        "target_seconds": f"simulated s{to}",
        "worst10": "worst 10 %",
        "epsilon": "epsilon",
    }[name]


def figure_cells(group: Group, comparison: Comparison) -> list[str]:
    """Mean, sd, interval, n; of a target that not all reached, how many did."""
    found, n = group.figures["value"], str(len(group.runs))
    if found is None:
        return [f"{group.reached['value']} of {n} reached", MISSING, MISSING, n]
    number: Number = rounds if comparison.at.counts_rounds else figure
    mean = number_of(comparison)(found.mean)
    return [mean, optional(found.sd, number), interval(found, number), n]


def cell(group: Group, name: str) -> str:
    """The mean of a column."""
    found = group.figures.get(name)
    if found is None:
        reached = group.reached.get(name, 0)
        return f"{reached} of {len(group.runs)} reached" if name == "target_rounds" else MISSING
    if name.endswith("bytes"):
        return f"{found.mean / 1e6:,.1f}" if found.mean >= 1e5 else f"{found.mean / 1e6:.2g}"
    if name in ("round", "target_rounds"):
        return rounds(found.mean)
    if name.endswith("seconds"):
        return f"{found.mean:,.1f}"
    return upwards(found.mean) if name == "epsilon" else figure(found.mean)


def interval(found: Spread, number: Number) -> str:
    if found.low is None or found.high is None:
        return MISSING
    return f"{number(found.low)} to {number(found.high)}"


def optional(value: float | None, number: Number) -> str:
    return MISSING if value is None else number(value)


def number_of(comparison: Comparison) -> Number:
    """How the figure itself is written."""
    if comparison.at.counts_rounds:
        return rounds
    return upwards if is_bound(comparison.metric) else figure


def rounds(value: float) -> str:
    """Rounds to a tenth, which a mean over seeds and an interpolation need."""
    return f"{value:.0f}" if float(value).is_integer() else f"{value:.1f}"


def figure(value: float) -> str:
    """Four decimals; short powers of ten where those would say nothing."""
    return f"{value:.4f}" if value == 0 or 1e-3 <= abs(value) < 1e4 else f"{value:.2e}"


def pair_lines(pair: Pair, comparison: Comparison) -> list[str]:
    """The paired test in words."""
    number: Number = rounds if comparison.at.counts_rounds else figure
    result, found = pair.result, pair.result.difference
    seeds = ", ".join(map(str, pair.seeds[:10])) + (", ..." if len(pair.seeds) > 10 else "")
    if result.t_p is None:
        student = "all differences are the same: no t test"
    else:
        student = f"paired t test p = {p_text(result.t_p)}"
    return [
        f"{pair.first.name} minus {pair.second.name}: {number(found.mean)}, "
        f"95 % interval {interval(found, number)}, over {found.n} shared seeds ({seeds})",
        f"{student}; exact Wilcoxon signed-rank test p = {p_text(result.exact_p)}",
        *pair.cautions,
    ]


def p_text(p: float) -> str:
    return f"{p:.3f}" if p >= 0.001 else f"{p:.1e}"
