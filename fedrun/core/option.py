"""What an option may be, and how a mistake is told.

A factory's keyword-only parameters are its options: `bind` reads their types, defaults and the
ranges written here, and refuses everything else before anything runs.

>>> def fedprox(*, mu: Annotated[float, at_least(0)] = 0.01): ...
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Annotated

__all__ = ["Annotated", "ConfigError", "Count", "Fraction", "Length", "Range", "RunError", "Size",
           "above", "at_least", "between"]  # fmt: skip


class ConfigError(ValueError):
    """The user's input is wrong: one or two lines that name the key, the value and the mend."""


class RunError(RuntimeError):
    """The work itself failed, or what is on disk is damaged: one or two lines that say which."""


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`; an open end is not accepted itself.

    infinite: whether infinity is accepted too, which is elsewhere taken for a mistake.
    """

    low: float = -inf
    high: float = inf
    open_low: bool = False
    open_high: bool = False
    infinite: bool = False

    def __contains__(self, value: float) -> bool:
        above_low = value > self.low if self.open_low else value >= self.low
        below_high = value < self.high if self.open_high else value <= self.high
        return above_low and below_high

    def __str__(self) -> str:
        low = (
            None if self.low == -inf else f"{'above' if self.open_low else 'at least'} {self.low:g}"
        )
        high = (
            None
            if self.high == inf
            else f"{'below' if self.open_high else 'at most'} {self.high:g}"
        )
        words = " and ".join(part for part in (low, high) if part)
        return f"{words}, or inf" if self.infinite else words


@dataclass(frozen=True)
class Length:
    """A list of so many."""

    count: int


def at_least(low: float) -> Range:
    return Range(low=low)


def above(low: float, *, infinite: bool = False) -> Range:
    return Range(low=low, open_low=True, infinite=infinite)


def between(low: float, high: float, *, open_low: bool = False, open_high: bool = False) -> Range:
    return Range(low, high, open_low, open_high)


Count = Annotated[int, at_least(1)]
Size = Annotated[int, at_least(0)]
Fraction = Annotated[float, between(0, 1)]
