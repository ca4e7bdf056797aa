"""The worst of many accounts, where every participant has one of its own.

What is claimed must hold for all of them, and a tight accountant takes a good part of a second for
each. RDP takes none once it knows a release; so it picks out who can be the worst.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fedrun.accounting.bounds import Bound, bounds, epsilon, version
from fedrun.accounting.running import running_epsilon

if TYPE_CHECKING:  # it imports PyTorch, which nothing here needs
    from fedrun.core.privacy import Event, Relation

FEW = 16  # accounts that are looked at closely while a run goes on
SOME = 12  # and when it has ended

Account = Sequence[tuple["Event", int]]


def worst_running_epsilon(accounts: Sequence[Account], delta: float, relation: Relation) -> float:
    """An upper bound on the epsilon of every account; with many of them RDP's."""
    if len(accounts) <= FEW:
        return max(running_epsilon(account, delta, relation) for account in accounts)
    return max(epsilon(account, delta, relation, "rdp") for account in accounts)


def worst_bounds(
    accounts: Sequence[Account], delta: float, relation: Relation
) -> tuple[Account, list[Bound]]:
    """An account, and bounds for it of which the first holds for all the others too."""
    if len(accounts) == 1 or not delta:  # RDP has nothing to say with delta 0
        told = [(account, bounds(account, delta, relation)) for account in accounts]
        return max(told, key=lambda pair: pair[1][0].epsilon)
    by_rdp = [(epsilon(account, delta, relation, "rdp"), account) for account in accounts]
    by_rdp.sort(key=lambda pair: -pair[0])
    worst, found = by_rdp[0][1], bounds(by_rdp[0][1], delta, relation)
    for place, (loose, account) in enumerate(by_rdp[1:], start=1):
        if loose <= found[0].epsilon:
            break  # neither this one nor any after it can be worse
        if place == SOME:
            return account, [Bound(loose, "rdp", version("rdp"))]
        other = bounds(account, delta, relation)
        if other[0].epsilon > found[0].epsilon:
            worst, found = account, other
    return worst, found
