"""Releases in, (epsilon, delta) out: by each accountant that has a theorem for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite, sqrt
from typing import TYPE_CHECKING, Literal

import fedrun
from fedrun.accounting.gaussian import gaussian_epsilon
from fedrun.accounting.parts import Parts, parts
from fedrun.accounting.pld import INTERVAL, pld_epsilon
from fedrun.accounting.pld import refused as pld_refused
from fedrun.accounting.rdp import Conversion, rdp_epsilon
from fedrun.accounting.rdp import refused as rdp_refused
from fedrun.core.option import ConfigError

if TYPE_CHECKING:  # it imports PyTorch, which nothing here needs
    from fedrun.core.privacy import Event, Relation

Accountant = Literal["pld", "rdp", "exact", "pure"]
"""exact: the Gaussian mechanism's own formula; pure: basic composition, with delta 0."""


@dataclass(frozen=True)
class Bound:
    """An upper bound on epsilon, and who says so; nothing else is ever printed (M18)."""

    epsilon: float
    accountant: Accountant
    version: str

    @property
    def is_finite(self) -> bool:
        """False where something was released without noise."""
        return isfinite(self.epsilon)


def bounds(
    events: Sequence[tuple[Event, int]],
    delta: float,
    relation: Relation,
    interval: float = INTERVAL,
) -> list[Bound]:
    """By each accountant that has a theorem for these releases, the least first."""
    check_delta(delta)
    found = parts(events, relation)
    able: list[Accountant] = [name for name in ("pld", "rdp") if name not in refusals(found)]
    if found.all_gaussian and found.gaussian:
        able.append("exact")
    elif isfinite(found.pure):
        able.append("pure")
    made = [Bound(of(found, delta, name, interval), name, version(name)) for name in able]
    return sorted(made, key=lambda bound: bound.epsilon)


def refused(events: Sequence[tuple[Event, int]], relation: Relation) -> dict[Accountant, str]:
    """The accountants that have no theorem for these releases, and why."""
    return refusals(parts(events, relation))


def refusals(found: Parts) -> dict[Accountant, str]:
    why: dict[Accountant, str] = {"pld": pld_refused(found), "rdp": rdp_refused(found)}
    return {name: reason for name, reason in why.items() if reason}


def epsilon(
    events: Sequence[tuple[Event, int]],
    delta: float,
    relation: Relation,
    accountant: Accountant = "pld",
    interval: float = INTERVAL,
    conversion: Conversion = "today",
    orders: Sequence[float] | None = None,
) -> float:
    """An upper bound by one accountant; infinite without noise, refused without a theorem.

    events: (event, so many rounds in a row), see `parts`.
    conversion, orders: of `rdp`, for comparing with published tables only.
    """
    check_delta(delta)
    found = parts(events, relation)
    if conversion == "today" and orders is None:
        return of(found, delta, accountant, interval)
    if accountant != "rdp":
        raise ConfigError(f"a conversion and orders belong to accountant=rdp, not to {accountant}")
    return rdp_epsilon(found, delta, conversion, None if orders is None else tuple(orders))


def of(found: Parts, delta: float, accountant: Accountant, interval: float = INTERVAL) -> float:
    """As `epsilon`, of parts."""
    if accountant == "rdp":
        return rdp_epsilon(found, delta)
    if accountant == "pld":
        return pld_epsilon(found, delta, interval)
    if accountant == "pure":
        return found.pure
    if not found.all_gaussian:
        raise ConfigError("accountant=exact is for gaussian noise without sampling; take pld")
    return gaussian_epsilon(1 / sqrt(found.gaussian), delta) if found.gaussian else 0.0


def check_delta(delta: float) -> None:
    """M23: with delta 1 anything may be published."""
    if not 0 <= delta < 1:
        raise ConfigError(
            f"delta={delta:g} is not accepted (accepted: at least 0, below 1; "
            "below 1 over the number of participants to mean anything)"
        )


def version(accountant: Accountant) -> str:
    from importlib.metadata import version as installed

    if accountant in ("pld", "rdp"):
        return f"dp-accounting {installed('dp-accounting')} {accountant.upper()}"
    words = {"exact": "Balle and Wang 2018", "pure": "basic composition"}
    return f"fedrun {fedrun.__version__}, {words[accountant]}"
