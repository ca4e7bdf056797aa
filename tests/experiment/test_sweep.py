"""The cells of a sweep: which there are, and what there is of them already."""

import json
from pathlib import Path

import pytest

from fedrun.core.option import ConfigError, RunError
from fedrun.experiment import run, sweep
from fedrun.experiment.compose import compose
from fedrun.experiment.sweep_cost import cohort, seconds, updates
from fedrun.experiment.sweep_record import read_sweep

SMALL = ["data=wine", "model=logistic", "clients.count=5", "rounds=2"]


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def plan(*words: str, config: str = "train", **options) -> sweep.Sweep:
    return sweep.plan(config, [*SMALL, *words], **options)


def test_the_cells_and_their_places() -> None:
    planned = plan("seed=0,1", "local.lr=0.1,0.2")
    assert [cell.title for cell in planned.cells] == [
        "seed=0 local.lr=0.1", "seed=0 local.lr=0.2", "seed=1 local.lr=0.1", "seed=1 local.lr=0.2",
    ]  # fmt: skip
    assert {cell.status for cell in planned.cells} == {"waiting"}
    assert planned.path.parent == Path("runs/train")
    assert planned.path.name.startswith("sweep-")
    assert planned.command == [*SMALL, "seed=0,1", "local.lr=0.1,0.2"]
    assert not Path("runs").exists(), "planning writes nothing"
    # A cell's run lies where `train` with the same words would put it.
    alone = compose("train", [*SMALL, "seed=1", "local.lr=0.2"])
    assert planned.cells[3].job.path == sweep.batch.run_path(alone)


def test_the_same_cells_are_the_same_sweep() -> None:
    first = plan("seed=0,1", "local.lr=0.1,0.2")
    assert plan("local.lr=0.2,0.1", "seed=range(2)").path == first.path
    assert plan("seed=0,1,2", "local.lr=0.1,0.2").path != first.path


def test_several_configs_have_a_folder_of_their_own(root: Path) -> None:
    for name in ("one", "two"):
        (root / f"{name}.yaml").write_text(f"data: wine\nmodel: logistic\nseed: {len(name)}\n")
    planned = sweep.plan("one.yaml,two.yaml", ["rounds=1"])
    assert planned.path.parent == Path("runs/one_two")
    # Both files come to the same config, so there is one run.
    assert (len(planned.cells), planned.retold) == (1, 1)


MISTAKES = {
    "local.lrr=1,2": "has no option 'lrr'; did you mean 'lr'",
    "local.lr=0.1,-1": "local.lr=-1 is out of range",
    "algorithm=fedavg,fedporx": "did you mean 'fedprox'",
    "local.epochs=1,x": "local.epochs='x' is not a whole number",
    "run.dir=here": "run.root=FOLDER is for many",
}


@pytest.mark.parametrize("word", MISTAKES)
def test_every_cell_is_checked_before_anything_runs(word: str) -> None:
    with pytest.raises(ConfigError, match=MISTAKES[word]):
        plan("seed=0,1", word)


def test_what_there_is_already() -> None:
    planned = plan("seed=0,1,2,3,4")
    run.train(planned.cells[0].job.composed, run.Nobody())
    for number, status in ((1, "interrupted"), (2, "failed"), (3, "running")):
        run.train(planned.cells[number].job.composed, run.Nobody())
        file = planned.cells[number].job.path / "manifest.json"
        manifest = json.loads(file.read_text()) | {"status": status, "error": "RunError: too hot"}
        file.write_text(json.dumps(manifest))
    cells = plan("seed=0,1,2,3,4").cells
    found = [cell.status for cell in cells]
    assert found == ["finished", "interrupted", "failed", "interrupted", "waiting"]
    assert cells[2].reason == "too hot"
    assert cells[0].figure(None) == ("test/accuracy", cells[0].figures["test/accuracy"])
    assert [cell.round for cell in cells] == [2, 2, 2, 2, 0]
    again = plan("seed=0,1,2,3,4", retry_failed=True).cells
    assert [again[2].status, again[2].reason] == ["interrupted", None]
    # The record holds, and finds, the same.
    planned.cells = cells
    planned.open()
    planned.close()
    record = read_sweep(planned.path)
    assert [cell["status"] for cell in record["cells"]] == found
    assert record["cells"][2]["reason"] == "too hot"
    assert [cell["path"].resolve() for cell in record["cells"]] == [
        cell.job.path.resolve() for cell in cells
    ]
    written = json.loads((planned.path / "sweep.json").read_text())
    assert written["cells"][0]["path"].startswith("../"), "so that all can be moved together"


def test_a_failure_without_a_run_is_remembered() -> None:
    planned = plan("seed=0,1")
    planned.cells[0].status, planned.cells[0].reason = "failed", "no such data"
    planned.open()
    planned.close()
    again = plan("seed=0,1").cells
    assert [(cell.status, cell.reason) for cell in again] == [
        ("failed", "no such data"), ("waiting", None),
    ]  # fmt: skip
    assert plan("seed=0,1", retry_failed=True).cells[0].status == "waiting"


def test_one_process_at_a_time() -> None:
    first, second = plan("seed=0,1"), plan("seed=0,1")
    first.open()
    with pytest.raises(ConfigError, match="is in use: this sweep is being run"):
        second.open()
    first.close()
    second.open()
    second.close()


def test_a_damaged_record(root: Path) -> None:
    with pytest.raises(ConfigError, match="is no sweep"):
        read_sweep(root)
    for text in ('{"schema": 1}', '{"schema": 1, "cells": [{}]}', '{"schema": 2, "cells": []}'):
        (root / "sweep.json").write_text(text)
        with pytest.raises(RunError, match="is damaged"):
            read_sweep(root)


def test_what_it_costs() -> None:
    planned = plan("seed=0,1", "rounds=10", "clients.per_round=2,0.5", "local.lr=0.1,0.2")
    cells = planned.cells
    assert [updates(cell) for cell in cells[:4]] == [20, 20, 20, 20]  # round(2.5) is 2
    assert cohort(plan("clients.per_round=3").cells[0].job.composed.values) == 3
    assert cohort(compose("train", ["clients.count=null", "partition=natural"]).values) is None
    assert seconds(cells[0], cells) is None
    cells[0].status, cells[0].round, cells[0].figures = "finished", 10, {"time/seconds": 40.0}
    cells[7].status, cells[7].round, cells[7].figures = "finished", 10, {"time/seconds": 10.0}
    # seed=0 per_round=2 lr=0.2 shares two words with the first, none but one with the last.
    assert seconds(cells[1], cells) == pytest.approx(40.0)
    cells[6].round = 5  # seed=1 per_round=0.5 lr=0.1
    assert seconds(cells[6], cells) == pytest.approx(5.0)
