"""What was sent: bytes up and down by group, in all and for each round."""

from __future__ import annotations

from dataclasses import dataclass

from fedrun.report.comparison_measure import DOWN, UP
from fedrun.report.page.content import Content
from fedrun.report.table_layout import heading


@dataclass(frozen=True)
class Cost:
    """In MB, means over the runs of a group."""

    name: str
    look: int | None
    up: str
    down: str
    total: str
    a_round: str
    target: list[str]


def costs(content: Content) -> tuple[list[str], list[Cost]]:
    """Further headings where a target was asked for, and a line for each group that has bytes."""
    from fedrun.report.table_layout import cell

    columns = content.comparison.columns if content.comparison else []
    to = [name for name in ("target_rounds", "target_bytes", "target_seconds") if name in columns]
    heads = [heading(name, content.comparison) for name in to if content.comparison]
    found = []
    for method in content.methods:
        sent = [group.figures["value"] if (group := content.of(method, name)) else None
                for name in (UP, DOWN)]  # fmt: skip
        if not any(sent):
            continue
        up, down = (0.0 if each is None else each.mean for each in sent)
        group = content.of(method, UP) or content.of(method, DOWN)
        last = group.figures.get("round") if group else None
        a_round = "-" if last is None or not last.mean else megabytes((up + down) / last.mean)
        target = [cell(method.group, name) if method.group else "-" for name in to]
        found.append(Cost(method.name, method.look, megabytes(up), megabytes(down),
                          megabytes(up + down), a_round, target))  # fmt: skip
    return heads, found


def megabytes(count: float) -> str:
    """
    >>> megabytes(53_000_000), megabytes(1_234)
    ('53.0', '0.0012')
    """
    return f"{count / 1e6:,.1f}" if count >= 1e5 or not count else f"{count / 1e6:.2g}"
