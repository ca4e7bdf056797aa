"""Batches drawn by coins: who is in them, how many they are, and what is the same every time."""

import numpy as np
import pytest

from fedrun.core.partition import Ragged
from fedrun.core.plan import ChunkPlan, Work
from fedrun.core.poisson_plan import poisson_plan
from fedrun.privacy._stream import streams

SECRET = streams("seeded", 3)
HELD = Ragged.of([np.arange(10), np.arange(10, 13), np.arange(13, 113)])
ALL = np.arange(3)


def plan_of(work, clients=ALL, **given):
    return poisson_plan(HELD, work, SECRET, 1, clients, **given)


def inclusion(plan, client):
    """bool [steps, rows]"""
    rows = HELD[client]
    mine = plan.clients[client]
    found = np.zeros((mine.steps, len(rows)), bool)
    for s in range(mine.steps):
        batch = mine.rows[mine.bounds[s] : mine.bounds[s + 1]]
        assert len(set(batch.tolist())) == len(batch)
        assert set(batch) <= set(rows)
        found[s, batch - rows[0]] = True
    return found


def test_m02_each_row_is_drawn_by_a_coin_of_its_own():
    plan = plan_of(Work(0, 20_000, 4))
    for client, q in ((0, 0.4), (2, 0.04)):
        found = inclusion(plan, client).astype(float)
        steps, size = found.shape
        spread = (q * (1 - q) / steps) ** 0.5
        assert abs(found.mean(0) - q).max() < 5 * spread
        together = found.T @ found / steps
        pairs = together[np.triu_indices(size, 1)]
        assert abs(pairs - q**2).max() < 6 * (q**2 / steps) ** 0.5
        count = found.sum(1)
        assert count.var() == pytest.approx(size * q * (1 - q), rel=0.05)
        assert count.mean() == pytest.approx(4, rel=0.02)
        after = (found[1:] * found[:-1]).mean()  # steps know nothing of each other
        assert after == pytest.approx(q**2, abs=6 * q / (steps * size) ** 0.5)


def test_m03_the_chance_times_the_examples_is_the_configured_batch():
    plan = plan_of(Work(1, 0, 4))
    assert plan.expected.tolist() == [4, 3, 4]
    whole = plan_of(Work(1, 0, 0))
    assert whole.expected.tolist() == [10, 3, 100]


def test_steps_are_counted_as_for_any_plan():
    for work in (Work(2, 0, 4), Work(0, 7, 4), Work(3, 0, 0), Work(1, 0, 4, repeat=3)):
        assert plan_of(work).steps.tolist() == work.num_steps(HELD.sizes).tolist()
    slow = plan_of(Work(5, 0, 4), epochs=np.array([1, 2, 5]))
    assert slow.steps.tolist() == [3, 2, 125]


def test_no_coin_is_tossed_where_everybody_is_drawn():
    for plan in (plan_of(Work(2, 0, 0)), plan_of(Work(2, 0, 1000))):
        for mine in plan.clients:
            for s in range(mine.steps):
                batch = mine.rows[mine.bounds[s] : mine.bounds[s + 1]]
                assert batch.tolist() == HELD[mine.client].tolist()


def test_m22_empty_batches_stay():
    plan = plan_of(Work(0, 400, 1), clients=np.array([1]))
    sizes = plan.end - plan.begin
    assert len(sizes) == 400
    assert (sizes == 0).mean() == pytest.approx((2 / 3) ** 3, abs=0.08)
    assert plan.begin[0] == 0
    assert plan.end[-1] == len(plan.rows)
    assert (plan.begin[1:] == plan.end[:-1]).all()


def test_a_clients_coins_do_not_depend_on_the_others_but_on_round_turn_and_seed():
    work = Work(2, 0, 4)
    together, alone = plan_of(work), plan_of(work, clients=np.array([2]))
    assert together.clients[2].rows.tolist() == alone.clients[0].rows.tolist()
    others = [
        plan_of(work, turn=1),
        poisson_plan(HELD, work, SECRET, 2, ALL),
        poisson_plan(HELD, work, streams("seeded", 4), 1, ALL),
    ]
    seen = {tuple(plan.clients[2].rows.tolist()) for plan in (together, *others)}
    assert len(seen) == 4
    assert isinstance(together, ChunkPlan)
    assert others[0].turn == 1


def test_large_clients_are_drawn_in_parts():
    held = Ragged.of([np.arange(300_000)])
    plan = poisson_plan(held, Work(0, 3, 30_000), SECRET, 1, np.array([0]))
    sizes = plan.end - plan.begin
    assert abs(sizes - 30_000).max() < 6 * (30_000 * 0.9) ** 0.5
    assert plan.rows.max() > 299_000
