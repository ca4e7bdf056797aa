import tracemalloc

import numpy as np
import pytest
import torch
from torch import nn

from fedrun.core import measure
from fedrun.core.dataset import Spec
from fedrun.core.measure import (
    Scores,
    client_figures,
    global_figures,
    per_client_mean,
    score,
)
from fedrun.core.metric import evaluated, is_better
from fedrun.core.partition import Ragged
from fedrun.core.task import Examples, Task
from fedrun.core.tree import Tree


def linear(kind, weight, bias):
    weight = torch.tensor(weight)
    task = Task(
        nn.Linear(weight.shape[1], len(weight)), Spec((weight.shape[1],), len(weight), kind)
    )
    return task, Tree(weight=weight, bias=torch.tensor(bias))


def scored(correct=(), loss=None):
    correct = np.array(correct, float)
    loss = correct if loss is None else np.array(loss, float)
    return Scores(loss, correct, correct, correct)


CLASSES = Task(nn.Identity(), Spec((1,), 2, "classes"))
NUMBER = Task(nn.Identity(), Spec((1,), 1, "number"))


def test_classes_by_hand():
    task, params = linear("classes", [[1.0], [-1.0]], [0.0, 0.0])
    examples = Examples(torch.tensor([[2.0], [-1.0], [0.5], [3.0]]), torch.tensor([0, 1, 1, 0]))
    scores = score(task, params, examples)
    assert scores.prediction.tolist() == [0, 1, 0, 0]
    # The logits differ by 2 x: the loss is log(1 + e^(-2x)) or, for the wrong third row, e^(+2x).
    losses = np.log1p(np.exp([-4.0, -2.0, 1.0, -6.0]))
    assert scores.loss == pytest.approx(losses, abs=1e-6)
    figures = global_figures(task, scores)
    assert figures == {
        "test/loss": pytest.approx(losses.mean(), abs=1e-6), "test/accuracy": 0.75
    }  # fmt: skip


def test_sequences_by_hand():
    # An embedding is a table of scores: after 0 comes 1, after 1 comes 1, after 2 comes 0.
    scores_of = torch.tensor([[0.0, 2.0, 0.0], [0.0, 2.0, 0.0], [2.0, 0.0, 0.0]])
    task = Task(nn.Embedding(3, 3), Spec((4,), 3, "tokens", vocabulary=3))
    x = torch.tensor([[0, 1, 2, 0], [1, 1, 1, 1]])
    y = torch.tensor([[1, 2, 0, 1], [0, 0, 0, 2]])
    scores = score(task, Tree(weight=scores_of), Examples(x, y))
    assert scores.prediction.tolist() == [[1, 1, 0, 1], [1, 1, 1, 1]]
    assert scores.correct.tolist() == [0.75, 0.0]
    right, wrong = np.log(np.exp(2) + 2) - 2, np.log(np.exp(2) + 2)
    assert scores.loss == pytest.approx([(3 * right + wrong) / 4, wrong], abs=1e-6)
    assert global_figures(task, scores)["test/accuracy"] == 0.375
    shares = Ragged.of([np.array([0]), np.array([1])])
    assert client_figures(task, scores, shares) == {
        "client/accuracy_mean": 0.375, "client/accuracy_worst10": 0.0,
        "client/accuracy_best10": 0.75, "client/accuracy_sd": 0.375,
    }  # fmt: skip


def test_regression_against_scikit_learn():
    from sklearn.metrics import mean_absolute_error, mean_squared_error, r2_score

    draw = np.random.default_rng(0)
    x, y = draw.normal(size=(1203, 3)).astype(np.float32), draw.normal(size=(1203, 1)) + 50
    task, params = linear("number", [[0.1, -0.2, 0.3]], [50.0])
    scores = score(task, params, Examples(torch.from_numpy(x), torch.from_numpy(y).float()))
    guess = x @ [0.1, -0.2, 0.3] + 50
    figures = global_figures(task, scores)
    assert list(figures) == ["test/loss", "test/mae", "test/r2"]
    assert figures["test/loss"] == pytest.approx(mean_squared_error(y, guess), rel=1e-5)
    assert figures["test/mae"] == pytest.approx(mean_absolute_error(y, guess), rel=1e-5)
    assert figures["test/r2"] == pytest.approx(r2_score(y, guess), rel=1e-4)


def test_constant_targets_have_no_r2():
    task, params = linear("number", [[0.0]], [1.0])
    examples = Examples(torch.zeros(3, 1), torch.full((3, 1), 5.0))
    assert global_figures(task, score(task, params, examples))["test/r2"] == 0.0


def test_batches_change_nothing(monkeypatch):
    task, params = linear("classes", [[1.0, 0.5], [-1.0, 2.0]], [0.1, 0.0])
    examples = Examples(torch.randn(11, 2, generator=torch.Generator().manual_seed(0)),
                        torch.arange(11) % 2)  # fmt: skip
    whole = score(task, params, examples)
    monkeypatch.setattr(measure, "BATCH", 3)
    parts = score(task, params, examples)
    assert parts.loss == pytest.approx(whole.loss, rel=1e-6)
    assert parts.prediction.tolist() == whole.prediction.tolist()


def test_scoring_turns_dropout_off():
    task = Task(nn.Sequential(nn.Dropout(0.5), nn.Linear(4, 2)), Spec((4,), 2, "classes"))
    task.module.train()
    examples = Examples(torch.ones(50, 4), torch.zeros(50, dtype=torch.int64))
    assert len(set(score(task, task.current(), examples).loss.tolist())) == 1


def test_the_mean_over_clients_and_the_worst_client():
    # Accuracies 1, 1/2, 0 and a client without a test row; the worst tenth of three is one client.
    shares = Ragged.of([np.array(r, np.int64) for r in ([0, 1], [2, 3], [], [4])])
    figures = client_figures(CLASSES, scored([1, 1, 1, 0, 0]), shares)
    assert figures == {
        "client/accuracy_mean": 0.5, "client/accuracy_worst10": 0.0,
        "client/accuracy_best10": 1.0, "client/accuracy_sd": pytest.approx(np.sqrt(1 / 6)),
    }  # fmt: skip


def test_the_worst_and_the_best_tenth_of_eleven_are_two():
    accuracy = np.linspace(0.0, 1.0, 11)
    shares = Ragged.of([np.array([k]) for k in range(11)])
    figures = client_figures(CLASSES, scored(accuracy[::-1]), shares)
    assert figures["client/accuracy_worst10"] == pytest.approx(0.05)
    assert figures["client/accuracy_best10"] == pytest.approx(0.95)


def test_the_worst_tenth_of_a_regression_has_the_highest_loss():
    shares = Ragged.of([np.array([k]) for k in range(10)])
    figures = client_figures(NUMBER, scored(np.zeros(10), range(10)), shares)
    assert figures == {
        "client/loss_mean": 4.5, "client/loss_worst10": 9.0, "client/loss_best10": 0.0,
        "client/loss_sd": pytest.approx(np.sqrt(8.25)),
    }  # fmt: skip
    assert list(figures) == evaluated(has_accuracy=False)[-4:]


def test_means_are_of_those_who_hold_rows_wherever_they_stand():
    shares = Ragged.of([np.array(r, np.int64) for r in ([], [3, 1], [], [], [0], [])])
    assert shares.holders.tolist() == [1, 4]
    assert per_client_mean(np.array([7.0, 1.0, 9.0, 4.0]), shares).tolist() == [2.5, 7.0]


def test_figures_cost_what_the_test_set_costs():
    clients, rows = 1_000_000, 1000
    sizes = np.bincount(np.arange(rows) * 999, minlength=clients)
    shares = Ragged(np.arange(rows), np.concatenate([[0], np.cumsum(sizes)]))
    scores = scored(np.arange(rows) % 2)
    expected = client_figures(CLASSES, scores, shares)  # what is known of the shares is kept
    tracemalloc.start()
    assert client_figures(CLASSES, scores, shares) == expected
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert expected["client/accuracy_mean"] == 0.5
    assert peak < 100_000


def test_nobody_with_a_test_row_has_no_figure():
    assert client_figures(CLASSES, scored([1]), Ragged.of([np.array([], np.int64)])) == {}


def test_which_way_is_better():
    up = ["test/accuracy", "train/accuracy", "test/r2", "client/accuracy_worst10"]
    up += ["client/accuracy_best10"]
    down = ["client/accuracy_sd", "client/loss_sd", "client/loss_best10"]
    down += ["test/loss", "train/loss", "test/mae", "client/loss_mean", "client/loss_worst10"]
    assert [is_better(name) for name in up] == [1] * 5
    assert [is_better(name) for name in down] == [-1] * 8
    costs = ["comm/up_bytes", "comm/down_bytes", "clients/rejected", "time/round_seconds"]
    assert [is_better(name) for name in costs] == [-1] * 4
    assert is_better("clients/ok") == 1
