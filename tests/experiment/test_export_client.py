"""A client's own model as it is exported is the one that the run has scored."""

from pathlib import Path

import pytest

import fedrun
from fedrun.core.option import ConfigError
from fedrun.experiment.build import build
from fedrun.experiment.export_client import own_model

WORDS = ["data=wine", "model=mlp", "model.hidden=[4]", "clients.count=5", "clients.unseen=[4]",
         "rounds=3", "local.lr=0.3"]  # fmt: skip


def test_all_clients_together_have_the_runs_figures(tmp_path: Path) -> None:
    run = fedrun.train("train", [*WORDS, "algorithm=fedper", f"run.dir={tmp_path / 'run'}"])
    experiment = build(run.config)
    right, rows = [0] * 5, [len(experiment.partition.test[k]) for k in range(5)]
    for client in range(5):
        params, words = own_model(run.path, experiment, str(client))
        assert words == f"client {client}'s own model after round 3"
        model = experiment.task.load(params).eval()
        held = experiment.partition.test[client]
        answer = model(experiment.test.x[held]).argmax(-1)
        right[client] = int((answer == experiment.test.y[held]).sum())
    final = run.summary["final"]
    assert sum(right[:4]) / sum(rows[:4]) == pytest.approx(final["personal/accuracy"])
    assert right[4] / rows[4] == pytest.approx(final["unseen/accuracy"])


def test_names_are_taken_before_numbers(tmp_path: Path) -> None:
    words = ["data=inline", "data.x=[[1],[2],[3],[4]]", "data.y=[1,2,3,4]", "rounds=1",
             "data.client=[7,7,1,1]", "partition=natural", "clients.count=null", "model=logistic",
             "algorithm=local_only", f"run.dir={tmp_path / 'run'}"]  # fmt: skip
    run = fedrun.train("train", words)
    experiment = build(run.config)
    assert list(experiment.partition.names) == ["1", "7"]
    for client in ("1", "7"):
        assert own_model(run.path, experiment, client)[1].startswith(f"client {client}'s own")
    first = own_model(run.path, experiment, "0")[1]
    assert first.startswith("client 1's own")
    with pytest.raises(ConfigError, match=r"--client 8 is none of 2 clients \(1, 7\)"):
        own_model(run.path, experiment, "8")
