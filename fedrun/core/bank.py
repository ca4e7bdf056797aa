"""What clients keep between rounds. Only clients that took part cost anything.

A `Bank` says which client keeps what; a `Store` holds the rows: `Memory` here, files where there
is a run directory.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import torch

from fedrun.core.tree import Tree, row, stack

PAGE = 256  # clients; a change copies the pages it touches, and one reference to each other page


class Pages(Mapping[int, Any]):
    """A map of client numbers that is never changed: `updated` gives another one, which shares
    every page (of neighbouring numbers) without a change."""

    def __init__(self, pages: dict[int, dict[int, Any]] | None = None) -> None:
        self._pages = pages or {}

    @classmethod
    def of(cls, items: Mapping[int, Any]) -> Pages:
        return cls().updated(items)

    def __getitem__(self, client: int) -> Any:
        return self._pages[client // PAGE][client]

    def __iter__(self) -> Iterator[int]:
        for page in self._pages.values():
            yield from page

    def __len__(self) -> int:
        return sum(map(len, self._pages.values()))

    def updated(self, changes: Mapping[int, Any]) -> Pages:
        pages, own = dict(self._pages), set()
        for client, value in changes.items():
            number = client // PAGE
            if number not in own:
                own.add(number)
                pages[number] = dict(pages.get(number, {}))
            pages[number][client] = value
        return Pages(pages)


Part = tuple[Sequence[int], Tree]  # clients of a chunk and the Tree_C of their rows


class Store(Protocol):
    """Where rows lie, and under which key each of them is found again."""

    def stacked(self, fresh: Tree, keys: Sequence[Any | None]) -> Tree:
        """Tree_C of the rows under these keys; None stands for the fresh state."""
        ...

    def keep(self, bank: Bank, parts: Sequence[Part]) -> Bank:
        """The bank in which these clients keep copies of these rows."""
        ...

    def to_tree(self, bank: Bank) -> Tree:
        """All that `restored` needs."""
        ...

    def restored(self, bank: Bank, tree: Tree) -> Bank:
        """The bank that `to_tree` described, with this one's fresh state."""
        ...


class Memory:
    """Rows are kept as trees of their own; the key is the row."""

    def stacked(self, fresh: Tree, keys: Sequence[Any | None]) -> Tree:
        return stack([fresh if key is None else key for key in keys])

    def keep(self, bank: Bank, parts: Sequence[Part]) -> Bank:
        own = {
            client: row(state_C, index).map(torch.clone)
            for clients, state_C in parts
            for index, client in enumerate(clients)
        }
        return replace(bank, rows=bank.rows.updated(own))

    def to_tree(self, bank: Bank) -> Tree:
        clients = sorted(bank.rows)
        kept = stack([bank.rows[client] for client in clients])
        return Tree(clients=torch.tensor(clients), rows=kept)

    def restored(self, bank: Bank, tree: Tree) -> Bank:
        return bank.put(tree["clients"].tolist(), tree["rows"]) if tree else bank


@dataclass(frozen=True)
class Bank:
    """fresh: the state of a client that never took part; rows: client number to the key of its own
    state; note: what the store remembers of this very bank.

    A bank is never changed: `put` returns another one that shares the rows it did not replace.
    """

    fresh: Tree
    rows: Pages = field(default_factory=Pages)
    store: Store = field(default_factory=Memory)
    note: Any = None

    def take(self, clients: Sequence[int]) -> Tree:
        """Tree_C of these clients' states."""
        if not self.fresh:
            return Tree()
        return self.store.stacked(self.fresh, [self.rows.get(client) for client in clients])

    def put(self, clients: Sequence[int], state_C: Tree) -> Bank:
        """The bank in which these clients keep these states."""
        return self.put_all([(clients, state_C)])

    def put_all(self, parts: Sequence[Part]) -> Bank:
        """The same for the chunks of a cohort at once; what is kept is copied out of any stack."""
        parts = [part for part in parts if len(part[0])]
        return self.store.keep(self, parts) if self.fresh and parts else self

    def to_tree(self) -> Tree:
        """What a checkpoint holds of the bank; empty while nothing is kept."""
        return self.store.to_tree(self) if self.rows else Tree()

    def restored(self, tree: Tree) -> Bank:
        """The bank that `to_tree` described, with this one's fresh state."""
        return self.store.restored(self, tree)
