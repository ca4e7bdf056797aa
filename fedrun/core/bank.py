"""What clients keep between rounds. Only clients that took part cost anything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from fedrun.core.tree import Tree, row, stack


@dataclass(frozen=True)
class Bank:
    """fresh: the state of a client that never took part; rows: client number to its own state.

    A bank is never changed: `put` returns another one that shares the rows it did not replace.
    """

    fresh: Tree
    rows: dict[int, Tree] = field(default_factory=dict)

    def take(self, clients: Sequence[int]) -> Tree:
        """Tree_C of these clients' states."""
        return stack([self.rows.get(client, self.fresh) for client in clients])

    def put(self, clients: Sequence[int], state_C: Tree) -> Bank:
        """The bank in which these clients keep these states."""
        return self.renewed({k: row(state_C, index) for index, k in enumerate(clients)})

    def renewed(self, rows: dict[int, Tree]) -> Bank:
        """The bank with these clients' own states; what is kept is copied out of any stack."""
        if not self.fresh:
            return self
        own = {client: state.map(torch.clone) for client, state in rows.items()}
        return Bank(self.fresh, {**self.rows, **own})

    def to_tree(self) -> Tree:
        """`clients` int64 [T] and `rows` Tree_T; empty while nothing is kept."""
        if not self.rows:
            return Tree()
        clients = sorted(self.rows)
        return Tree(
            clients=torch.tensor(clients), rows=stack([self.rows[client] for client in clients])
        )

    def restored(self, tree: Tree) -> Bank:
        """The bank that `to_tree` described, with this one's fresh state."""
        return self.put(tree["clients"].tolist(), tree["rows"]) if tree else self
