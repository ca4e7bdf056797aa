"""The hand-written backward pass, and the lifted one, against plain autograd."""

from itertools import pairwise

import pytest
import torch
from torch import nn

from fedrun.core.dataset import Spec
from fedrun.core.task import Task
from fedrun.engine._chain_gradient import chain_gradient, is_chain
from fedrun.engine._lifted_gradient import lifted_gradient

C, B, INPUTS = 3, 4, 5
KINDS = {"classes": 3, "binary": 1, "number": 2}


def problem(kind, hidden):
    source = torch.Generator().manual_seed(3)
    widths = [INPUTS, *hidden, KINDS[kind]]
    layers = [nn.Flatten()]
    for width, units in pairwise(widths):
        layers += [nn.Linear(width, units), nn.ReLU()]
    module = nn.Sequential(*layers[:-1]).double()
    params = [
        torch.randn(C, *p.shape, generator=source, dtype=torch.float64) for p in module.parameters()
    ]
    x = torch.randn(C, B, INPUTS, generator=source, dtype=torch.float64)
    if kind == "number":
        y = torch.randn(C, B, 2, generator=source, dtype=torch.float64)
    else:
        y = torch.randint(2, (C, B), generator=source)
    # Client 0 has a whole batch, client 1 a short one, client 2 a single example.
    length = torch.tensor([[4], [3], [1]])
    weight = (torch.arange(B) < length) / length.double()
    return Task(module, Spec((INPUTS,), KINDS[kind], kind)), params, x, y, weight


def by_autograd(task, params, x, y, weight):
    grads, losses, correct = [], [], []
    for k in range(C):
        with torch.no_grad():
            for p, leaf in zip(task.module.parameters(), params, strict=True):
                p.copy_(leaf[k])
        real = weight[k] > 0
        outputs = task.module(x[k])
        loss = task.loss(outputs, y[k])
        grads.append(torch.autograd.grad(loss[real].mean(), list(task.module.parameters())))
        losses.append(loss.detach())
        correct.append(task.correct(outputs, y[k]))
    stacked = [torch.stack(leaves) for leaves in zip(*grads, strict=True)]
    return stacked, torch.stack(losses), torch.stack(correct)


@pytest.mark.parametrize("make", [chain_gradient, lifted_gradient])
@pytest.mark.parametrize("hidden", [[], [7], [6, 4]])
@pytest.mark.parametrize("kind", KINDS)
def test_it_is_the_gradient_of_autograd(kind, hidden, make):
    task, *batch = problem(kind, hidden)
    expected, loss, correct = by_autograd(task, *batch)
    grads, found_loss, found_correct = make(task)(*batch)
    for found, leaf in zip(grads, expected, strict=True):
        torch.testing.assert_close(found, leaf, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(found_loss, loss, rtol=1e-12, atol=1e-12)
    assert torch.equal(found_correct, correct)


def test_images_are_flattened():
    task, params, x, y, weight = problem("classes", [7])
    whole, *_ = chain_gradient(task)(params, x, y, weight)
    images, *_ = chain_gradient(task)(params, x.reshape(C, B, 1, 5, 1), y, weight)
    assert all(torch.equal(a, b) for a, b in zip(whole, images, strict=True))


def test_the_inputs_are_not_changed():
    task, params, x, y, weight = problem("classes", [7])
    before = [leaf.clone() for leaf in (*params, x, y, weight)]
    chain_gradient(task)(params, x, y, weight)
    assert all(torch.equal(a, b) for a, b in zip(before, (*params, x, y, weight), strict=True))


class Doubled(nn.Linear):
    def forward(self, x):
        return 2 * super().forward(x)


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        (nn.Sequential(nn.Flatten(), nn.Linear(2, 1)), True),
        (nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1)), True),
        (nn.Sequential(nn.Linear(2, 2, bias=False)), False),
        (nn.Sequential(nn.Linear(2, 2), nn.Tanh(), nn.Linear(2, 1)), False),
        (nn.Sequential(nn.Linear(2, 2), nn.ReLU()), False),
        (nn.Sequential(Doubled(2, 1)), False),
        (nn.Sequential(), False),
        (nn.Linear(2, 1), False),
    ],
)
def test_only_plain_chains_get_the_hand_written_pass(module, expected):
    assert is_chain(module) is expected
    assert (chain_gradient(Task(module, Spec((2,), 1, "number"))) is not None) is expected
