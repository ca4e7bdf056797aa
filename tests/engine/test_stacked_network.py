"""One step of a stack, written out and lifted, against plain autograd in float64."""

import copy
from itertools import pairwise

import pytest
import torch
from torch import nn

from fedrun.core.dataset import Spec
from fedrun.core.task import Task
from fedrun.engine._lifted_gradient import lifted_gradient
from fedrun.engine._objective import Terms
from fedrun.engine._stacked_network import stacked_network
from fedrun.engine._stacked_updates import Listed

C, B, INPUTS = 3, 4, 5
KINDS = {"classes": 3, "binary": 1, "number": 2}
GREY, COLOUR = (1, 12, 12), (3, 12, 12)


def chain(*widths, bias=True):
    layers = [nn.Flatten()]
    for width, units in pairwise(widths):
        layers += [nn.Linear(width, units, bias=bias), nn.ReLU()]
    return layers[:-1]


def paper(outputs=3):
    return [nn.Conv2d(1, 4, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(4, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(54, 16), nn.ReLU(), nn.Linear(16, outputs)]  # fmt: skip


def no_bias():
    return [nn.Conv2d(3, 4, 3, bias=False), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
            nn.Linear(100, 3, bias=False)]  # fmt: skip


def grouped():
    return [nn.Conv2d(3, 6, 3, stride=2, padding=1, groups=3), nn.ReLU(),
            nn.Conv2d(6, 4, (3, 1), padding="same", dilation=2, groups=2), nn.Flatten(),
            nn.Linear(144, 3)]  # fmt: skip


def uneven():
    """Unlike sizes, strides, paddings and dilations in height and width."""
    return [nn.Conv2d(3, 4, (3, 2), stride=(2, 1), padding=(2, 0), dilation=(1, 3)), nn.ReLU(),
            nn.Conv2d(4, 5, (2, 3), stride=(1, 2), padding=(0, 1), dilation=(2, 1)),
            nn.Flatten(), nn.Linear(125, 3)]  # fmt: skip


def pools():
    """Overlapping, padded, ceiled; ReLU and pooling first; two in a row."""
    return [nn.ReLU(), nn.MaxPool2d(3, 2, 1), nn.Conv2d(3, 4, 3, padding="valid"), nn.ReLU(),
            nn.ReLU(), nn.MaxPool2d(3, stride=1), nn.MaxPool2d(2, 1, ceil_mode=True),
            nn.Flatten(), nn.ReLU(), nn.Linear(4, 3)]  # fmt: skip


CASES = {
    **{f"{kind} {hidden}": (chain(INPUTS, *hidden, outputs), (INPUTS,), kind)
       for kind, outputs in KINDS.items() for hidden in ([], [7], [6, 4])},
    "no bias": (chain(INPUTS, 4, 3, bias=False), (INPUTS,), "classes"),
    "flat images": (chain(144, 3), GREY, "classes"),
    "paper": (paper(), GREY, "classes"),
    "paper, number": (paper(2), GREY, "number"),
    "convolution without bias": (no_bias(), COLOUR, "classes"),
    "grouped": (grouped(), COLOUR, "classes"),
    "uneven": (uneven(), COLOUR, "classes"),
    "pools": (pools(), COLOUR, "classes"),
}  # fmt: skip


def problem(layers, shape, kind):
    source = torch.Generator().manual_seed(3)

    def normal(*size):
        return torch.randn(size, generator=source, dtype=torch.float64)

    module = nn.Sequential(*copy.deepcopy(layers)).double()
    params = [normal(C, *p.shape) for p in module.parameters()]
    x = normal(C, B, *shape)
    y = normal(C, B, 2) if kind == "number" else torch.randint(2, (C, B), generator=source)
    # Client 0 has a whole batch, client 1 a short one, client 2 a single example.
    length = torch.tensor([[4], [3], [1]])
    weight = (torch.arange(B) < length) / length.double()
    return Task(module, Spec(shape, KINDS[kind], kind)), params, x, y, weight


def by_autograd(task, params, x, y, weight):
    grads, outputs = [], []
    for k in range(C):
        with torch.no_grad():
            for p, leaf in zip(task.module.parameters(), params, strict=True):
                p.copy_(leaf[k])
        found = task.module(x[k])
        loss = task.loss(found, y[k])[weight[k] > 0].mean()
        grads.append(torch.autograd.grad(loss, list(task.module.parameters())))
        outputs.append(found.detach())
    return [torch.stack(leaves) for leaves in zip(*grads, strict=True)], torch.stack(outputs)


@torch.no_grad()
def by_stack(make, task, params, x, y, weight):
    model, update = make(task), Listed.of(params, Terms(None, None, 0.0), None, None, 1.0)
    outputs = model.bind(params, update)(x, model.target(y), weight)
    return update.finish(), outputs


def assert_close(found, expected):
    for one, other in zip((*found[0], found[1]), (*expected[0], expected[1]), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("make", [stacked_network, lifted_gradient])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_it_is_the_gradient_of_autograd(case, make):
    task, *batch = problem(*case)
    before = [leaf.clone() for leaf in (*batch[0], *batch[1:])]
    found = by_stack(make, task, *batch)
    assert all(torch.equal(a, b) for a, b in zip(before, (*batch[0], *batch[1:]), strict=True))
    assert_close(found, by_autograd(task, *batch))


def test_sequences():
    source = torch.Generator().manual_seed(3)
    task = Task(nn.Embedding(4, 4).double(), Spec((5,), 4, "tokens", vocabulary=4))
    params = [torch.randn(C, 4, 4, generator=source, dtype=torch.float64)]
    x, y = (torch.randint(4, (C, B, 5), generator=source) for _ in "xy")
    length = torch.tensor([[4], [3], [1]])
    weight = (torch.arange(B) < length) / length.double()
    assert stacked_network(task) is None
    found = by_stack(lifted_gradient, task, params, x, y, weight)
    assert_close(found, by_autograd(task, params, x, y, weight))


@pytest.mark.parametrize(
    "layers",
    [
        [nn.Linear(2, 2), nn.Tanh(), nn.Linear(2, 1)],
        [nn.Linear(2, 2), nn.Dropout(), nn.Linear(2, 1)],
        [nn.Linear(2, 1), nn.Flatten(0)],
        [],
    ],
)
def test_other_models_are_left_alone(layers):
    assert stacked_network(Task(nn.Sequential(*layers), Spec((2,), 1, "number"))) is None
