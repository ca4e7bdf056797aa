import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from fedrun.core.option import ConfigError
from fedrun.core.plan import ClientPlan
from fedrun.engine.stack import Lockstep, refuse_random_layers


def plan(rows, *bounds):
    return ClientPlan(0, np.array(rows), np.array(bounds))


def test_unequal_steps_by_hand():
    # Client 0: 5 | 6; client 1: 1 2 | 3 | 4; client 2: 7 8 9.
    lockstep = Lockstep.of(
        [plan([5, 6], 0, 1, 2), plan([1, 2, 3, 4], 0, 2, 3, 4), plan([7, 8, 9], 0, 3)]
    )
    assert lockstep.order.tolist() == [1, 0, 2]
    assert lockstep.steps.tolist() == [3, 2, 1]
    rows, weight = lockstep.batch(0)
    assert rows.tolist() == [[1, 2, 2], [5, 5, 5], [7, 8, 9]]
    assert weight == pytest.approx(np.array([[1 / 2, 1 / 2, 0], [1, 0, 0], [1 / 3] * 3]))
    rows, weight = lockstep.batch(1)
    assert rows.tolist() == [[3], [6]]
    assert weight.tolist() == [[1], [1]]
    assert lockstep.batch(2)[0].tolist() == [[4]]


@given(st.lists(st.lists(st.integers(1, 4), min_size=1, max_size=5), min_size=1, max_size=5))
def test_every_client_sees_its_own_batches_in_order(lengths):
    plans, first = [], 0
    for sizes in lengths:
        bounds = np.concatenate([[0], np.cumsum(sizes)])
        plans.append(ClientPlan(0, np.arange(first, first + bounds[-1]), bounds))
        first += bounds[-1]
    lockstep = Lockstep.of(plans)
    seen = [[] for _ in plans]
    for t in range(lockstep.steps[0]):
        rows, weight = lockstep.batch(t)
        assert weight.sum(axis=1) == pytest.approx(np.ones(len(rows)))
        for place, client in enumerate(lockstep.order[: len(rows)]):
            seen[client].append(rows[place][weight[place] > 0].tolist())
    for drawn, batches in zip(plans, seen, strict=True):
        cuts = zip(drawn.bounds[:-1], drawn.bounds[1:], strict=True)
        assert batches == [drawn.rows[a:b].tolist() for a, b in cuts]


def test_dropout_is_refused():
    refuse_random_layers(nn.Sequential(nn.Linear(1, 1), nn.GroupNorm(1, 1)))
    with pytest.raises(ConfigError, match=r"engine=stack cannot train .* Dropout2d .*engine=eager"):
        refuse_random_layers(nn.Sequential(nn.Sequential(nn.Dropout2d())))


def test_the_scores_of_a_round_do_not_count_padding(federation, play):
    # Uneven clients and batches of 7: `train/loss` is a mean over real examples only.
    eager, stack = (
        play(federation(f"engine={engine}", "local.batch_size=7", "model.hidden=[4]"))[0]
        for engine in ("eager", "stack")
    )
    assert stack.metrics["train/examples"] == eager.metrics["train/examples"] == 120
    for name in ("train/loss", "train/accuracy"):
        assert stack.metrics[name] == pytest.approx(eager.metrics[name], rel=1e-5)
    for ours, reference in zip(stack.clients, eager.clients, strict=True):
        assert ours.pop("status") == reference.pop("status") == "ok"
        assert ours == pytest.approx(reference, rel=1e-4)


def test_evaluation_in_between_does_not_change_training(federation, play, same):
    # Scoring puts the shared module into evaluation mode; training must not notice.
    last = [
        play(federation("engine=stack", "model.hidden=[4]", "rounds=3", f"evaluate.every={n}"))[-1]
        for n in (0, 1)
    ]
    assert same(last[0].state.server, last[1].state.server)
    assert torch.is_grad_enabled()
