"""What must be said together with an epsilon, in a few lines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from fedrun.report.privacy_words import guarantee, why_not


def privacy_lines(statement: Mapping[str, Any] | None) -> Iterator[str]:
    """The guarantee of a summary's `privacy`, and what keeps it from being one."""
    if statement is None:
        return
    yield f"\nprivacy  {guarantee(statement)}"
    if "simulated" in statement:
        simulated = guarantee({**statement, **statement["simulated"]})
        yield f"         simulated: {simulated}, {statement['simulated']['meaning']}"
    if not statement["real"]:
        yield f"         no guarantee: {why_not(statement)}"
    yield f"         trusted: {statement['trust']}"
