from math import exp, log, log1p

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from fedrun.core.dataset import Spec, Split
from fedrun.core.task import Examples, Task
from fedrun.core.tree import Tree


def task(kind, outputs):
    return Task(nn.Linear(2, outputs), Spec((2,), outputs, kind))


def test_cross_entropy():
    outputs, y = torch.tensor([[1.0, 2.0, 0.0], [0.0, 0.0, 0.0]]), torch.tensor([1, 2])
    found = task("classes", 3).loss(outputs, y)
    by_hand = [log(exp(1) + exp(2) + 1) - 2, log(3)]
    assert found.tolist() == pytest.approx(by_hand)
    assert torch.equal(found, F.cross_entropy(outputs, y, reduction="none"))


def test_binary_cross_entropy():
    outputs, y = torch.tensor([[0.5], [-2.0], [200.0]]), torch.tensor([1, 0, 0])
    found = task("binary", 1).loss(outputs, y)
    assert found.tolist() == pytest.approx([log1p(exp(-0.5)), log1p(exp(-2)), 200.0])
    expected = F.binary_cross_entropy_with_logits(outputs[:, 0], y.float(), reduction="none")
    assert torch.equal(found, expected)


def test_squared_error_is_a_mean_over_outputs():
    outputs, y = torch.tensor([[1.0, 2.0], [0.0, 0.0]]), torch.tensor([[0.0, 4.0], [0.0, 3.0]])
    found = task("number", 2).loss(outputs, y)
    assert found.tolist() == [2.5, 4.5]
    assert found.mean() == F.mse_loss(outputs, y)


def test_predictions():
    outputs = torch.tensor([[0.1, 0.3, 0.2], [5.0, 1.0, 9.0]])
    assert task("classes", 3).predict(outputs).tolist() == [1, 2]
    assert task("classes", 3).correct(outputs, torch.tensor([1, 1])).tolist() == [True, False]
    logits = torch.tensor([[0.1], [-0.1], [0.0]])
    assert task("binary", 1).predict(logits).tolist() == [1, 0, 0]
    assert task("binary", 1).correct(logits, torch.tensor([1, 1, 0])).tolist() == [1, 0, 1]
    assert task("number", 3).predict(outputs) is outputs
    assert not task("number", 3).correct(outputs, outputs).any()


def test_the_initial_parameters_are_a_copy():
    problem = task("classes", 3)
    first = problem.current()
    with torch.no_grad():
        problem.module.weight.zero_()
    assert first["weight"].abs().sum() > 0
    assert list(first) == ["weight", "bias"]


def test_loading_copies():
    problem = task("number", 1)
    params = Tree(weight=torch.tensor([[2.0, 3.0]]), bias=torch.tensor([1.0]))
    module = problem.load(params)
    assert module(torch.tensor([[1.0, 1.0]])).item() == 6.0
    params["weight"].zero_()
    assert module(torch.tensor([[1.0, 1.0]])).item() == 6.0


def test_examples_share_memory():
    split = Split(np.zeros((3, 2), np.float32), np.zeros(3, np.int64))
    examples = Examples.of(split, torch.device("cpu"))
    split.x[1, 1] = 7
    assert examples.x[1, 1] == 7
    assert len(examples) == 3
