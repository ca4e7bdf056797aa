"""A slot is written to only when no state that somebody may go on from needs what lies in it."""

import random

import numpy as np
import pytest

from fedrun.experiment.slots import Slots


class Disk:
    """The file as it would lie there: which record filled each slot, and all records in order."""

    def __init__(self) -> None:
        self.slots, self.content, self.records = Slots(), {}, []
        self.where: dict[int, int] = {}
        self.saved: list[int] = []  # checkpoints, each so many records old
        self.ages = [0]  # of the states after each round; the first of them is committed

    def round(self, clients: frozenset[int]) -> None:
        for client in sorted(clients):
            record = len(self.records)
            slot = self.slots.take(record)
            if client in self.where:
                self.slots.leave(self.where[client], record)
            self.where[client] = slot
            self.content[slot] = record
            self.records.append((client, slot))
        self.ages.append(len(self.records))

    def commit(self) -> None:
        self.ages = self.ages[1:] or self.ages
        self.slots.commit(self.ages[0])

    def save(self, keep: int) -> None:
        if self.ages[0] not in self.saved:
            self.slots.hold(self.ages[0])
            self.saved.append(self.ages[0])
        self.saved = self.saved[-keep:]
        self.slots.retain(self.saved)

    def kill(self) -> None:
        age = self.saved[-1] if self.saved else 0
        self.records, self.ages = self.records[:age], [age]
        self.where = dict(self.records)
        table = np.array(self.records, np.int64).reshape(-1, 2)
        self.slots = Slots.replayed(table[:, 0], table[:, 1], self.saved)

    def needed(self) -> set[int]:
        """Every slot that a checkpoint, or the committed state or a later one, refers to."""
        found = set()
        for age in {*self.saved, *self.ages}:
            newest = {client: n for n, (client, _) in enumerate(self.records[:age])}
            for client, n in newest.items():
                slot = self.records[n][1]
                assert self.content[slot] == n, f"the row of client {client} is gone"
                found.add(slot)
        return found


@pytest.mark.parametrize("seed", range(150))
def test_what_is_needed_stays_and_nothing_else(seed: int) -> None:
    draw, disk = random.Random(seed), Disk()
    keep, events = draw.choice([1, 2, 3]), ["", "", "save", "save", "kill", "step back"]
    for _ in range(40):
        disk.round(frozenset(draw.sample(range(5), draw.randrange(4))))
        for _ in range(draw.randrange(3)):
            disk.commit()
        event = draw.choice(events)
        if event == "save":
            disk.save(keep)
        elif event:
            disk.saved = disk.saved[:-1] if event == "step back" else disk.saved
            disk.kill()
        needed = disk.needed()
        slots = disk.slots
        waiting = {slot for _, slot in slots.left}
        held = {slot for part in slots.held.values() for slot in part}
        assert not needed & set(slots.free)
        assert len(set(slots.free)) == len(slots.free)
        # Each slot is free, waits, is held for a checkpoint, or is where its client's row lies now.
        now = set(disk.where.values())
        assert {*slots.free, *waiting, *held, *now} == set(range(len(slots.filled)))
        assert held <= needed, "held for nobody"
        assert now <= needed


def test_by_hand() -> None:
    slots = Slots()
    assert [slots.take(0), slots.take(1)] == [0, 1]
    slots.commit(2)
    slots.hold(2)
    assert slots.take(2) == 2  # client 0 moves from slot 0, which the checkpoint needs
    slots.leave(0, 2)
    slots.commit(2)
    assert slots.take(3) == 3  # and from slot 2, which the committed state does not know of yet
    slots.leave(2, 3)
    slots.commit(3)
    assert slots.take(4) == 4
    slots.leave(3, 4)
    slots.commit(5)
    assert sorted(slots.free) == [2, 3]
    slots.hold(5)
    slots.retain([5])
    assert sorted(slots.free) == [0, 2, 3]


@pytest.mark.parametrize("resumed", [False, True])
def test_an_older_checkpoint_may_need_what_a_newer_one_held(resumed: bool) -> None:
    slots = Slots()
    for n in range(6):  # one client: slots 0 to 5, with checkpoints after the second and the fourth
        assert slots.take(n) == n
        if n:
            slots.leave(n - 1, n)
        slots.commit(n + 1)
        if n in (1, 3):
            slots.hold(n + 1)
        slots.free.clear()  # so that each row has a slot of its own
    if resumed:
        slots = Slots.replayed(np.zeros(6, np.int64), np.arange(6), [2, 4])
        assert sorted(slots.free) == [0, 2, 4]
    assert slots.held == {0: [], 2: [1], 4: [3]}
    slots.held[4].append(1)  # as if both needed it
    slots.held[2].clear()
    slots.free.clear()
    slots.retain([2])
    assert slots.held == {0: [], 2: [1]}
    assert slots.free == [3]
