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
        if not self.fresh:
            return self
        renewed = {
            client: row(state_C, index).map(torch.clone) for index, client in enumerate(clients)
        }
        return Bank(self.fresh, {**self.rows, **renewed})

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
