"""Bounds in print: an upper one is never shown below the truth, a lower one never above it."""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from math import isfinite

DECIMALS, DIGITS = 4, 4  # at least so many of each, but for very small and very large numbers


def upwards(bound: float) -> str:
    """An upper bound as text, rounded up: read back it is no less, and at most 0.1 % more.

    >>> upwards(20.125023545908295), upwards(8.0), upwards(0.0123412), upwards(1.2341e-5)
    ('20.1251', '8.0000', '0.01235', '1.235e-05')
    """
    return _text(bound, ROUND_CEILING)


def downwards(bound: float) -> str:
    """A lower bound as text, rounded down.

    >>> downwards(20.125023545908295), downwards(0.99999)
    ('20.1250', '0.9999')
    """
    return _text(bound, ROUND_FLOOR)


def is_bound(metric: str) -> bool:
    """Whether a figure of a run bounds something from above, and so is shown with `upwards`."""
    return metric.startswith("privacy/epsilon")


def _text(bound: float, rounding: str) -> str:
    if not isfinite(bound):
        return "infinite" if bound > 0 else str(bound)
    # The shortest decimal that reads back as the number: 0.1 stays 0.1.
    exact = Decimal(repr(float(bound)))
    largest = exact.adjusted() if exact else 0
    if not -3 <= largest < 4:
        shown = exact.quantize(Decimal(1).scaleb(largest - DIGITS + 1), rounding)
        return f"{float(shown):.{DIGITS - 1}e}"
    last = min(-DECIMALS, largest - DIGITS + 1)
    return f"{exact.quantize(Decimal(1).scaleb(last), rounding):f}"
