"""What the compiled kernel answers for a model that is scored, against PyTorch in float64."""

import copy
from itertools import pairwise

import pytest
import torch
from torch import nn

from fedrun.core.dataset import Spec
from fedrun.core.measure import score
from fedrun.core.task import Examples, Task
from fedrun.core.tree import Tree
from fedrun.engine.native import COMPILED, native
from fedrun.local.sgd import sgd

POOLED = (nn.ReLU(), nn.MaxPool2d(2))
# input shape, and what stands in front of the linear layers, whose sizes follow
NETWORKS = {
    "linear": ((5,), lambda: [], [5, 3]),
    "2NN": ((28, 28), lambda: [nn.Flatten()], [784, 200, 200, 10]),
    "LeNet": (
        (1, 28, 28),
        lambda: [nn.Conv2d(1, 6, 5), *POOLED, nn.Conv2d(6, 16, 5), *POOLED, nn.Flatten()],
        [256, 120, 84, 10],
    ),
    "colours": (
        (3, 9, 7),
        lambda: [nn.Conv2d(3, 5, 3, padding=1), *POOLED, nn.Flatten()],
        [60, 33],
    ),
}


KINDS = {True: ("tokens", ()), False: ("classes", tuple(map(str, range(35))))}


class Reader(nn.Module):
    """Embedding, LSTM, Linear; answers at every position or at the last."""

    LAYERS_ALONE = True

    def __init__(self, every):
        super().__init__()
        self.table = nn.Embedding(11, 3)
        self.lstm = nn.LSTM(3, 34, 2, batch_first=True)
        self.scores = nn.Linear(34, 35)
        self.every = every

    def forward(self, x):
        read, _ = self.lstm(self.table(x))
        return self.scores(read if self.every else read[:, -1])


def network(front, sizes):
    linear = [(nn.Linear(inputs, outputs), nn.ReLU()) for inputs, outputs in pairwise(sizes)]
    return nn.Sequential(*front, *[layer for pair in linear for layer in pair][:-1])


def problem(name, rows):
    """A native engine's task with its answer, and rows to score."""
    torch.manual_seed(1)
    shape, front, sizes = NETWORKS[name]
    module, outputs = network(front(), sizes), sizes[-1]
    spec = Spec(shape, outputs, "classes", tuple(map(str, range(outputs))))
    task = Task(module, spec)
    examples = Examples(torch.randn(rows, *shape), torch.arange(rows) % outputs)
    engine = native(task, examples, sgd(1), 0)
    assert engine.how == COMPILED, engine.why
    return task, examples, engine.answer


@pytest.mark.parametrize("rows", [1, 10, 13, 120, 121, 250])
@pytest.mark.parametrize("name", NETWORKS)
def test_it_is_the_modules(name, rows):
    task, examples, answer = problem(name, rows)
    params = task.current().map(lambda leaf: leaf + 0.1)
    with torch.no_grad():
        module = copy.deepcopy(task.load(params)).double()
        expected = module(examples.x.double())
    found = answer(params, examples.x)
    assert found.shape == expected.shape
    assert (found - expected).norm() <= 1e-6 * expected.norm()


@pytest.mark.parametrize("rows", [1, 39, 40, 41, 101])
@pytest.mark.parametrize("every", [True, False])
def test_it_is_the_lstms(every, rows):
    torch.manual_seed(1)
    task = Task(Reader(every), Spec((7,), 35, *KINDS[every], vocabulary=11))
    y = torch.zeros(rows, 7, dtype=torch.int64) if every else torch.zeros(rows, dtype=torch.int64)
    examples = Examples(torch.randint(11, (rows, 7)), y)
    engine = native(task, examples, sgd(1), 0)
    assert engine.how == COMPILED, engine.why
    params = task.current().map(lambda leaf: leaf + 0.1)
    with torch.no_grad():
        expected = copy.deepcopy(task.load(params)).double()(examples.x)
    found = engine.answer(params, examples.x)
    assert found.shape == expected.shape == ((rows, 7, 35) if every else (rows, 35))
    assert (found - expected).norm() <= 1e-6 * expected.norm()


@pytest.mark.parametrize("name", NETWORKS)
def test_scores_are_those_of_the_module(name):
    task, examples, answer = problem(name, 700)
    params = task.current()
    fast, plain = score(task, params, examples, answer), score(task, params, examples)
    assert fast.loss == pytest.approx(plain.loss, rel=1e-4, abs=1e-5)
    assert (fast.prediction == plain.prediction).mean() > 0.99
    assert (fast.y == plain.y).all()


def test_rows_and_parameters_may_lie_anywhere():
    task, examples, answer = problem("LeNet", 40)
    params = task.current()
    whole = answer(params, examples.x)
    assert torch.equal(answer(params, examples.x[::3]), whole[::3])
    turned = Tree((name, leaf.mT.contiguous().mT if leaf.ndim > 1 else leaf)
                  for name, leaf in params.items())  # fmt: skip
    assert torch.equal(answer(turned, examples.x), whole)


@pytest.mark.parametrize("name", ["2NN", "LeNet"])
def test_a_model_that_diverged_is_not_finite(name):
    task, examples, answer = problem(name, 11)
    params = task.current()
    next(iter(params.values())).view(-1)[7] = float("nan")
    assert answer(params, examples.x).isnan().any(1).all()
