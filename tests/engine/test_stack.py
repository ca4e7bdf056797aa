import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from fedrun.core.dataset import Spec
from fedrun.core.option import ConfigError
from fedrun.core.plan import ChunkPlan, ClientPlan
from fedrun.core.task import Examples, Task
from fedrun.core.tree import expand
from fedrun.engine.eager import eager
from fedrun.engine.stack import Lockstep, stack
from fedrun.local.sgd import sgd


def plan(rows, *bounds):
    return ClientPlan(0, np.array(rows), np.array(bounds))


def test_unequal_steps_by_hand():
    # Client 0: 5 | 6; client 1: 1 2 | 3 | 4; client 2: 7 8 9.
    plans = [plan([5, 6], 0, 1, 2), plan([1, 2, 3, 4], 0, 2, 3, 4), plan([7, 8, 9], 0, 3)]
    lockstep = Lockstep.of(ChunkPlan.of(1, plans))
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
    lockstep = Lockstep.of(ChunkPlan.of(1, plans))
    seen = [[] for _ in plans]
    for t in range(lockstep.steps[0]):
        rows, weight = lockstep.batch(t)
        assert weight.sum(axis=1) == pytest.approx(np.ones(len(rows)))
        for place, client in enumerate(lockstep.order[: len(rows)]):
            seen[client].append(rows[place][weight[place] > 0].tolist())
    for drawn, batches in zip(plans, seen, strict=True):
        cuts = zip(drawn.bounds[:-1], drawn.bounds[1:], strict=True)
        assert batches == [drawn.rows[a:b].tolist() for a, b in cuts]


class Drawing(nn.Linear):
    def forward(self, x):
        return F.dropout(super().forward(x), training=self.training)


@pytest.mark.parametrize("last", [nn.Dropout(), nn.RReLU(), Drawing(2, 2)])
def test_models_that_draw_are_refused(last):
    torch.manual_seed(0)
    task = Task(nn.Sequential(nn.Linear(3, 2), last), Spec((3,), 2, "classes", ("a", "b")))
    data = Examples(torch.zeros(4, 3), torch.zeros(4, dtype=torch.int64))
    with pytest.raises(ConfigError, match=r"engine=stack has no random stream .*engine=eager"):
        stack(task, data, sgd(1))


def linear(count=1):
    layers = [nn.Linear(3, 3) for _ in range(count)]
    return layers[0] if count == 1 else layers


class Scaled(nn.Sequential):
    def forward(self, x):
        return super().forward(x * 3 - 1)


def hooked():
    model = nn.Sequential(linear())
    model.register_forward_pre_hook(lambda module, inputs: (inputs[0] + 1,))
    return model


def tied_weights():
    first, second = linear(2)
    second.weight = first.weight
    return nn.Sequential(first, nn.ReLU(), second)


def one_layer_twice():
    layer = linear()
    return nn.Sequential(layer, nn.ReLU(), layer)


def frozen_first():
    first, second = linear(2)
    first.requires_grad_(False)
    return nn.Sequential(first, nn.ReLU(), second)


@pytest.mark.parametrize(
    "make", [lambda: Scaled(linear()), hooked, tied_weights, one_layer_twice, frozen_first]
)
def test_what_only_looks_like_a_chain_is_trained_as_it_is(make):
    torch.manual_seed(0)
    task = Task(make(), Spec((3,), 3, "classes", ("a", "b", "c")))
    data = Examples(torch.randn(12, 3), torch.arange(12) % 3)
    plans = [ClientPlan(k, np.arange(k, 12, 2), np.array([0, 2, 4, 6])) for k in range(2)]
    start = expand(task.current(), 2)
    trained = [
        engine.solver(ChunkPlan.of(1, plans))(start).params
        for engine in (eager(task, data, sgd(1), 0), stack(task, data, sgd(1)))
    ]
    assert trained[0].keys() == task.parameters.keys()
    for name, leaf in trained[0].items():
        torch.testing.assert_close(trained[1][name], leaf, rtol=1e-5, atol=1e-6)


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
