"""Columns that may not be what they seem: an id, a date, numbers in another notation. Each is a
silent mistake as a feature, so the user is asked to say what the column is."""

from __future__ import annotations

import re

import numpy as np

from fedrun.core.dataset import Array
from fedrun.data._number import is_missing, number

FEW = 20  # rows, or different texts, that say nothing yet
DATE = re.compile(r"\d{1,4}([-/.])\d{1,2}\1\d{1,4}([ T]\d.*)?")
# Signs, digits and what people put between them: 1,234.5 or 12,5 or 7 % or $ 3.
FIGURE = re.compile(r"[-+]?[$€£]?\s*[-+]?[.,]?\d[\d.,'\s]*\s*[%$€£]?")


def text_in_doubt(cells: list[str], decimal: str = ".") -> tuple[str, str] | None:
    """(what is odd, the first odd cell) of a column that is text; None where it may be classes.

    >>> text_in_doubt(["3,5", "4,25"])
    ('numbers in another notation', '3,5')
    >>> text_in_doubt(["2021-03-02", "2021-03-09"])
    ('dates', '2021-03-02')
    >>> text_in_doubt(["7", "8.5", "7", "unknown"])
    ('numbers and text', 'unknown')
    >>> text_in_doubt(["red", "blue", "10"])
    """
    present = [cell for cell in cells if not is_missing(cell)]
    different = dict.fromkeys(present)
    if not different:
        return None
    if all(map(DATE.fullmatch, different)):
        return "dates", present[0]
    odd = {cell for cell in different if number(cell, decimal) is None}
    if odd and all(map(FIGURE.fullmatch, odd)):
        return "numbers in another notation", next(cell for cell in present if cell in odd)
    rows = sum(cell in odd for cell in present)
    if 2 * len(odd) < len(different) and 2 * rows < len(present):
        return "numbers and text", next(cell for cell in present if cell in odd)
    return None


def nearly_all_differ(cells: list[str]) -> int | None:
    """How many texts there are, where most rows have one of their own: names, ids, sentences."""
    different = len(set(cells))
    return different if different > FEW and 2 * different > len(cells) else None


def numbers_the_rows(name: str, values: Array) -> bool:
    """Whether a column of numbers counts the rows, or is an id by its name and by its values.

    >>> numbers_the_rows("age", np.arange(30)), numbers_the_rows("age", np.arange(30) * 2)
    (True, False)
    >>> numbers_the_rows("PatientId", np.arange(30) * 2)
    True
    """
    if len(values) <= FEW or not np.isfinite(values).all() or (values != np.floor(values)).any():
        return False
    if (np.diff(values) == 1).all():
        return True
    if len(np.unique(values)) < len(values):
        return False
    counts = values.min() in (0, 1) and values.max() - values.min() == len(values) - 1
    return bool(counts) or is_id(name)


def is_id(name: str) -> bool:
    """
    >>> [is_id(name) for name in ("id", "user_id", "rowID", "paid", "Unnamed: 0", "humid", "index")]
    [True, True, True, False, True, False, True]
    """
    return bool(
        re.fullmatch(r"(?i)(.*[^a-z])?(id|idx|index|key|uuid|rownames)|unnamed.*|column_\d+", name)
        or re.fullmatch(r".*[a-z](Id|ID)", name)
    )
