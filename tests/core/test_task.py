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


SEQUENCES = Spec((2,), 3, "tokens", vocabulary=3)


def test_of_sequences_the_loss_is_a_mean_over_positions():
    outputs = torch.tensor([[[1.0, 2.0, 0.0], [0.0, 0.0, 0.0]], [[3.0, 0.0, 0.0], [0.0, 5.0, 0.0]]])
    y = torch.tensor([[1, 2], [0, 0]])
    sequences = Task(nn.Embedding(3, 3), SEQUENCES)
    first = (log(exp(1) + exp(2) + 1) - 2 + log(3)) / 2
    second = (log(exp(3) + 2) - 3 + log(exp(5) + 2)) / 2
    assert sequences.loss(outputs, y).tolist() == pytest.approx([first, second])
    assert sequences.predict(outputs).tolist() == [[1, 0], [0, 1]]
    assert sequences.correct(outputs, torch.tensor([[1, 0], [0, 0]])).tolist() == [1.0, 0.5]
    assert sequences.correct(outputs, torch.tensor([[2, 2], [2, 2]])).tolist() == [0.0, 0.0]
    assert sequences.has_accuracy


def test_a_mean_of_sequences_is_the_mean_of_all_positions():
    draw = torch.Generator().manual_seed(0)
    outputs, y = torch.randn(4, 2, 3, generator=draw), torch.randint(3, (4, 2), generator=draw)
    found = Task(nn.Embedding(3, 3), SEQUENCES).loss(outputs, y).mean()
    assert found.item() == pytest.approx(F.cross_entropy(outputs.flatten(0, 1), y.flatten()).item())


@pytest.mark.parametrize(
    "spec",
    [
        Spec((3, 4), 5, "classes"),
        Spec((3,), 1, "binary"),
        Spec((3,), 2, "number"),
        Spec((7,), 5, "classes", vocabulary=4),
        Spec((7,), 5, "tokens", vocabulary=4),
    ],
)
def test_trial_examples_fit_the_spec(spec):
    trial = Examples.trial(spec, 500, torch.empty(0, dtype=torch.float64))
    assert trial.x.shape == (500, *spec.input_shape)
    assert trial.y.shape == (500, *spec.target_shape)
    if spec.vocabulary is None:
        assert trial.x.dtype == torch.float64
        assert trial.x.min() < 0 < trial.x.max()
    else:
        assert trial.x.unique().tolist() == [0, 1, 2, 3]
    if spec.kind == "number":
        assert trial.y.dtype == torch.float64
    else:
        assert trial.y.unique().tolist() == list(range({"binary": 2}.get(spec.kind, spec.outputs)))
    losses = Task(nn.Identity(), spec).loss(torch.zeros(500, *spec.output_shape), trial.y)
    assert losses.shape == (500,)
    assert torch.equal(Examples.trial(spec, 500).y.double(), trial.y.double())
