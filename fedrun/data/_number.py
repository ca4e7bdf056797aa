"""Text as numbers, and what counts as no value at all."""

from __future__ import annotations

import numpy as np

from fedrun.core.dataset import Array

MISSING = frozenset({"", "na", "n/a", "nan", "null", "none", "?"})


def is_missing(text: str) -> bool:
    return text.strip().lower() in MISSING


def numbers(column: list[str]) -> Array | None:
    """float64 [rows], NaN where a value is missing; None if some cell is no number."""
    # Real columns repeat themselves, so each different text is parsed once.
    value = {text: number(text) for text in set(column)}
    if None in value.values():
        return None
    return np.array([value[text] for text in column], np.float64)


def number(text: str) -> float | None:
    """The number, NaN for a missing value, None for other text."""
    if is_missing(text):
        return float("nan")
    try:
        # float() also reads 1_000, which is no number in a table.
        return None if "_" in text else float(text)
    except ValueError:
        return None


def canonical(values: Array) -> tuple[str, ...]:
    """Names of numeric classes: 1.0 is `1`, 0.5 is `0.5`."""
    return tuple(str(int(v)) if v == int(v) else repr(float(v)) for v in values)
