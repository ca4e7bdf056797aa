"""Which slots of a file may be written to, so that what a checkpoint refers to stays as it is.

Everything is counted in records: record p says that some client's row lies in some slot from then
on. A state that is n records old knows the records before n. So a slot that record p filled, and
whose client record q moved elsewhere, is needed by the states with p < n <= q, and by no other.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Iterable

import numpy as np

from fedrun.core.dataset import Array


class Slots:
    """Free slots, and those that wait: for the run to be done with them, or for a checkpoint."""

    def __init__(self) -> None:
        self.filled = array("q")  # of each slot: the record that filled it
        self.free: list[int] = []
        self.left: deque[tuple[int, int]] = deque()  # (record that left it, slot), in order
        self.held: dict[int, list[int]] = {0: []}  # the newest checkpoint that needs them: slots

    def take(self, record: int) -> int:
        """A slot for this record's row."""
        if not self.free:
            self.free.append(len(self.filled))
            self.filled.append(0)
        slot = self.free.pop()
        self.filled[slot] = record
        return slot

    def leave(self, slot: int, record: int) -> None:
        """This record moved the slot's client elsewhere."""
        self.left.append((record, slot))

    def commit(self, records: int) -> None:
        """The run goes on from no state less than so many records old, checkpoints aside."""
        newest = max(self.held)
        while self.left and self.left[0][0] < records:
            _, slot = self.left.popleft()
            (self.held[newest] if self.filled[slot] < newest else self.free).append(slot)

    def hold(self, records: int) -> None:
        """A checkpoint of the state that is so many records old is about to be written."""
        self.held.setdefault(records, [])

    def retain(self, kept: Iterable[int]) -> None:
        """Only checkpoints of these many records are there still."""
        kept = {0, *kept}
        for records in sorted(self.held.keys() - kept, reverse=True):
            # An older checkpoint, should one be kept, may need them too.
            older = max(other for other in self.held if other < records)
            slots = self.held.pop(records)
            for slot in slots:
                (self.held[older] if self.filled[slot] < older else self.free).append(slot)

    @classmethod
    def replayed(cls, clients: Array, slots: Array, checkpoints: Iterable[int]) -> Slots:
        """What stands after these records (int64 [n] each), with checkpoints of so many."""
        made, now = cls(), len(clients)
        made.held |= {records: [] for records in checkpoints if 0 < records <= now}
        marks = np.array(sorted(made.held))
        left = _next_of_same(clients)
        # A slot is taken again and again: its last record counts. Of the checkpoints that knew the
        # row, which are those after the filling and not after the leaving, the newest holds it.
        filled = np.zeros(int(slots.max(initial=-1)) + 1, np.int64)
        filled[slots] = np.arange(now)
        made.filled.frombytes(filled.tobytes())
        for slot in np.flatnonzero(left[filled] < now).tolist():
            newest = int(marks[np.searchsorted(marks, left[filled[slot]], side="right") - 1])
            (made.held[newest] if filled[slot] < newest else made.free).append(slot)
        return made


def _next_of_same(clients: Array) -> Array:
    """int64 [n]: the next record of the same client, n where there is none."""
    order = np.argsort(clients, kind="stable")
    following = np.full(len(clients), len(clients))
    same = clients[order][:-1] == clients[order][1:]
    following[order[:-1][same]] = order[1:][same]
    return following
