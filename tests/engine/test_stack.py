import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from fedrun.core.dataset import Spec
from fedrun.core.option import ConfigError
from fedrun.core.plan import ChunkPlan, ClientPlan
from fedrun.core.task import Examples, Task
from fedrun.core.tree import expand
from fedrun.engine._stack_size import client_bytes
from fedrun.engine.eager import eager
from fedrun.engine.stack import stack
from fedrun.local.adam import adam
from fedrun.local.sgd import sgd


class Drawing(nn.Linear):
    def forward(self, x):
        return F.dropout(super().forward(x), training=self.training)


@pytest.mark.parametrize("last", [nn.Dropout(), nn.RReLU(), Drawing(2, 2)])
def test_models_that_draw_are_refused(last):
    torch.manual_seed(0)
    task = Task(nn.Sequential(nn.Linear(3, 2), last), Spec((3,), 2, "classes", ("a", "b")))
    data = Examples(torch.zeros(4, 3), torch.zeros(4, dtype=torch.int64))
    with pytest.raises(ConfigError, match=r"engine=stack has no random stream .*engine=auto"):
        stack(task, data, sgd(1), 0)


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
        for engine in (eager(task, data, sgd(1), 0), stack(task, data, sgd(1), 0))
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


@pytest.mark.slow
def test_functional_gradients_and_their_800_modules_are_not_loaded():
    code = (
        "import sys, torch; from torch import nn; from fedrun.core.dataset import Spec;"
        "from fedrun.core.task import Task; from fedrun.engine._lifted_gradient import *;"
        "model = nn.Sequential(nn.Linear(3, 2), nn.Tanh());"
        "lifted_gradient(Task(model, Spec((3,), 2, 'classes')));"
        "sys.exit('torch._dynamo' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


class Idle(nn.Module):
    """A parameter that the loss does not reach."""

    def __init__(self):
        super().__init__()
        self.idle = nn.Parameter(torch.ones(2))
        self.layer = nn.Linear(3, 3)

    def forward(self, x):
        return self.layer(x)


def test_a_parameter_beside_the_way_stays_where_it_is():
    task = Task(Idle(), Spec((3,), 3, "classes", ("a", "b", "c")))
    data = Examples(torch.randn(6, 3), torch.arange(6) % 3)
    plan = ChunkPlan.of(1, [ClientPlan(0, np.arange(6), np.array([0, 3, 6]))])
    params = stack(task, data, sgd(1), 0).solver(plan)(expand(task.current(), 1)).params
    assert params["idle"].tolist() == [[1, 1]]
    assert (params["layer.bias"] != task.module.layer.bias).all()


def test_the_size_of_a_stack_follows_from_the_config():
    task = Task(nn.Linear(3, 3), Spec((3,), 3, "classes", ("a", "b", "c")))
    data = Examples(torch.randn(6, 3), torch.arange(6) % 3)
    assert [stack(task, data, sgd(1), 0).chunk_size(n, 1.0) for n in (3, 10, 1000)] == [1, 3, 64]
    assert stack(task, data, sgd(1), 0, chunk=7).chunk_size(1000, 1.0) == 7


def test_what_a_client_needs_by_hand():
    # Five copies of 8 parameters, momentum and Adam add theirs; the layer leaves 2 numbers thrice.
    task = Task(nn.Linear(3, 2), Spec((3,), 2, "classes", ("a", "b")))
    assert client_bytes(task, sgd(1, batch_size=4)) == 4 * (5 * 8 + 4 * 3 * 2)
    assert client_bytes(task, sgd(1, batch_size=4, momentum=0.9)) == 4 * (6 * 8 + 4 * 3 * 2)
    assert client_bytes(task, adam(1, batch_size=4)) == 4 * (7 * 8 + 4 * 3 * 2)
    # A convolution of 2x2 over 3x3 leaves its output and four numbers for each of its places.
    image = Task(
        nn.Sequential(nn.Conv2d(1, 2, 2), nn.Flatten(), nn.Linear(8, 2)),
        Spec((1, 3, 3), 2, "classes"),
    )
    left = 3 * (8 + 4 * 4) + 3 * 8 + 3 * 2
    assert client_bytes(image, sgd(1, batch_size=1)) == 4 * (5 * (8 + 2 + 16 + 2) + left)
