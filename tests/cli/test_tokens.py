"""Token sequences from the command line: next-token targets, and the symbol behind the last."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import precision_recall_fscore_support

from fedrun.experiment import api
from fedrun.experiment.build import build

WORDS = ["data=markov_text", "data.clients=4", "data.symbols=6", "data.length=7",
         "data.concentration=0.05", "partition=natural", "model=char_lstm", "model.hidden=12",
         "model.layers=1", "local.lr=1", "checkpoint.every=1"]  # fmt: skip


@pytest.fixture(scope="module", params=["tokens", "classes"])
def run(request, fedrun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tokens") / request.param
    words = [*WORDS, f"data.task={request.param}", "rounds=15", f"run.dir={path}"]
    fedrun(["train", "-q", *words])
    return path


def answers(run: Path) -> tuple[np.ndarray, np.ndarray]:
    experiment = build(api.Run(run).config)
    with torch.no_grad():
        guess = api.Run(run).model()(experiment.test.x).argmax(-1).numpy()
    return experiment.test.y.numpy(), guess


def test_it_learns_and_its_figures_count_positions(run: Path) -> None:
    metrics = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    truth, guess = answers(run)
    assert metrics[-1]["test/accuracy"] == pytest.approx((truth == guess).mean())
    always_the_most_frequent = np.bincount(truth.ravel()).max() / truth.size
    assert metrics[-1]["test/accuracy"] > always_the_most_frequent + 0.1
    assert metrics[-1]["train/loss"] < 1 < metrics[0]["train/loss"]
    assert metrics[-1]["train/accuracy"] == pytest.approx(metrics[-1]["test/accuracy"], abs=0.1)


def test_evaluate_prints_scikit_learns_figures(fedrun, run: Path) -> None:
    out = fedrun(["evaluate", str(run)]).out
    table = [line.split() for line in out.splitlines()]
    truth, guess = (array.ravel() for array in answers(run))
    columns = precision_recall_fscore_support(truth, guess, labels=range(6), zero_division=0.0)
    for name, *figures, support in zip(range(6), *columns, strict=True):
        assert [str(name), *(f"{value:.4f}" for value in figures), f"{support:,}"] in table
    assert ["test/accuracy", f"{(truth == guess).mean():.4f}"] in table
    assert "Confusion matrix" in out


def test_going_on_is_going_straight_on(fedrun, run: Path, tmp_path: Path, assert_same_bytes):
    path = tmp_path / "half"
    words = [*WORDS, f"data.task={run.name}", "rounds=6", f"run.dir={path}"]
    fedrun(["train", "-q", *words])
    fedrun(["resume", "-q", str(path), "rounds=15", "engine.workers=2"])
    assert_same_bytes(path, run, ledger=False)


def test_many_symbols_are_listed_where_the_matrix_is_too_wide(fedrun, tmp_path: Path) -> None:
    path = tmp_path / "run"
    words = [*WORDS, "data.symbols=90", "rounds=1", f"run.dir={path}"]
    fedrun(["train", "-q", *words])
    out = fedrun(["evaluate", str(path)]).out
    truth, guess = (array.ravel() for array in answers(path))
    listed = out.partition("Most frequent confusions")[2].partition("\n\n")[0].splitlines()[2:]
    pairs = [tuple(map(int, line.replace(",", "").split())) for line in listed]
    assert len(pairs) == 20
    for true, predicted, times in pairs:
        assert true != predicted
        assert times == ((truth == true) & (guess == predicted)).sum()
    assert [times for *_, times in pairs] == sorted((times for *_, times in pairs), reverse=True)
    assert "Confusion matrix" not in out


MISTAKES = {
    "model=mlp": "model=mlp reads numbers",
    "partition=dirichlet": "partition=dirichlet divides classes, and data=markov_text has seq",
    "partition=shards": "partition=shards sorts by the target, and data=markov_text has seq",
    "data=digits": "model=char_lstm reads sequences of tokens",
    "engine=stack": "engine=stack cannot train this model in lockstep",
}


@pytest.mark.parametrize("words", MISTAKES)
def test_mistakes(fedrun, words: str) -> None:
    more = ["clients.count=2"] if words.startswith("partition") else []
    more += ["partition=iid", "clients.count=2"] if words.startswith("data") else []
    other = words.partition("=")[0] + "."  # the options of the choice that is replaced
    kept = [word for word in WORDS if not word.startswith(other)]
    answer = fedrun(["train", "-q", *kept, words, *more], 2)
    assert MISTAKES[words] in answer.err
    assert answer.err.count("\n") == 1


def test_the_preview_of_sequences_shows_sizes_only(fedrun) -> None:
    assert "label" not in fedrun(["partition", *WORDS]).out
    assert "label" in fedrun(["partition", *WORDS, "data.task=classes"]).out
