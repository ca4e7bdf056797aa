"""Who takes which step on which rows."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedrun.core.plan import ChunkPlan, ClientPlan
from fedrun.engine._lockstep import Lockstep, powers_of_two


def plan(rows, *bounds):
    return ClientPlan(0, np.array(rows), np.array(bounds))


# Client 0: 5 | 6; client 1: 1 2 | 3 | 4; client 2: 7 8 9.
THREE = ChunkPlan.of(
    1, [plan([5, 6], 0, 1, 2), plan([1, 2, 3, 4], 0, 2, 3, 4), plan([7, 8, 9], 0, 3)]
)


def test_unequal_steps_by_hand():
    lockstep = Lockstep.of(THREE)
    assert lockstep.order.tolist() == [1, 0, 2]
    assert lockstep.active.tolist() == lockstep.size.tolist() == [3, 2, 1]
    assert lockstep.rows.tolist() == [
        [1, 2, 2], [5, 5, 5], [7, 8, 9],  # step 0: clients 1, 0, 2
        [3, 3, 3], [6, 6, 6],
        [4, 4, 4],
    ]  # fmt: skip
    assert lockstep.client.tolist() == [1, 0, 2, 1, 0, 1]
    assert lockstep.length.tolist() == [2, 1, 3, 1, 1, 1]
    assert not lockstep.full
    weight = [[1, 1, 0], [2, 0, 0], [2 / 3] * 3, [2, 0, 0], [2, 0, 0], [2, 0, 0]]
    assert lockstep.weight(2.0) == pytest.approx(np.array(weight))


def test_powers_of_two_by_hand():
    assert powers_of_two(np.array([1, 2, 3, 4, 5, 64, 65])).tolist() == [1, 2, 4, 4, 8, 64, 128]
    lockstep = Lockstep.of(THREE, capacity=4, width=4)
    assert lockstep.active.tolist() == [3, 2, 1]
    assert lockstep.size.tolist() == [4, 2, 1]
    assert lockstep.rows.shape == (7, 4)
    assert lockstep.length.tolist() == [2, 1, 3, 0, 1, 1, 1]
    assert lockstep.weight(1.0)[3].tolist() == [0, 0, 0, 0]
    assert Lockstep.of(THREE, capacity=3).size.tolist() == [3, 2, 1]  # no more than there are


def test_no_padding_is_seen():
    even = ChunkPlan.of(1, [plan([5, 6], 0, 1, 2), plan([1, 2], 0, 1, 2)])
    assert Lockstep.of(even).full
    assert not Lockstep.of(even, capacity=2, width=2).full


@given(
    st.lists(st.lists(st.integers(1, 4), min_size=1, max_size=5), min_size=1, max_size=6),
    st.booleans(),
    st.integers(1, 20),
)
def test_every_client_sees_its_own_batches_in_order(lengths, powers, limit):
    plans, first = [], 0
    for sizes in lengths:
        bounds = np.concatenate([[0], np.cumsum(sizes)])
        plans.append(ClientPlan(0, np.arange(first, first + bounds[-1]), bounds))
        first += bounds[-1]
    lockstep = Lockstep.of(ChunkPlan.of(1, plans), capacity=len(plans) if powers else 0)
    weight = lockstep.weight(1.0)
    assert weight.sum() == pytest.approx(lockstep.active.sum())
    seen = [[] for _ in plans]
    step = place = 0
    for steps, places in lockstep.blocks(limit):
        assert (steps.start, places.start) == (step, place)
        assert places.stop - places.start <= limit or steps.stop - steps.start == 1
        step, place = steps.stop, places.stop
        rows = zip(lockstep.rows[places], weight[places], lockstep.client[places], strict=True)
        for batch, share, client in rows:
            if share.any():
                seen[client].append(batch[share > 0].tolist())
    assert (step, place) == (len(lockstep.size), len(lockstep.rows))
    for drawn, batches in zip(plans, seen, strict=True):
        cuts = zip(drawn.bounds[:-1], drawn.bounds[1:], strict=True)
        assert batches == [drawn.rows[a:b].tolist() for a, b in cuts]
