"""What TensorBoard's own reader finds in the event files, held against metrics.jsonl."""

import resource
import struct
from pathlib import Path

import pytest

pytest.importorskip("tensorboard", reason="pip install 'fedrun[tensorboard]'")

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from fedrun.core.tracker import Tracked, flat
from fedrun.experiment.directory import read_manifest
from fedrun.tracker.tensorboard import tensorboard

TOLD = "tracker=tensorboard"


def reader(run: Path) -> EventAccumulator:
    everything = {"scalars": 0, "tensors": 0}
    return EventAccumulator(str(run / "tensorboard"), size_guidance=everything).Reload()


def scalars(found: EventAccumulator) -> dict[int, dict[str, float]]:
    rows: dict[int, dict[str, float]] = {}
    for tag in found.Tags()["scalars"]:
        for event in found.Scalars(tag):
            assert tag not in rows.setdefault(event.step, {}), "a point is there twice"
            rows[event.step][tag] = event.value
    return dict(sorted(rows.items()))


def as_float32(rows: dict[int, dict[str, float]]) -> dict[int, dict[str, float]]:
    return {
        step: {name: struct.unpack("f", struct.pack("f", value))[0] for name, value in row.items()}
        for step, row in rows.items()
    }


def files(run: Path) -> dict[str, bool]:
    """The event files by their numbers: whether there is something in them."""
    found = sorted((run / "tensorboard").iterdir())
    return {path.name.rpartition(".")[2]: path.stat().st_size > 0 for path in found}


def tracked(folder: Path, history=(), **config) -> Tracked:
    return Tracked(
        key="0" * 16, name="a/b", group="a", folder=folder, root=folder, config=config, facts={},
        started=1e9, history=history,
    )  # fmt: skip


def test_every_figure_is_there_and_no_other(train, rows) -> None:
    path = train(TOLD)
    assert scalars(reader(path)) == as_float32(rows(path))


def test_hyperparameters_and_the_runs_clock(train, rows) -> None:
    path = train(TOLD, "algorithm=fedprox")
    found = reader(path)
    content = found.summary_metadata["_hparams_/session_start_info"].plugin_data.content
    data = HParamsPluginData.FromString(content).session_start_info
    assert data.hparams["algorithm"].string_value == "fedprox"
    assert data.hparams["algorithm.mu"].number_value == 0.01
    assert data.hparams["rounds"].number_value == 3
    assert not any(name.startswith(("run.", "tracker")) for name in data.hparams)
    times = [event.wall_time for event in found.Scalars("train/loss")]
    seconds = [row["time/round_seconds"] for row in rows(path).values()]
    assert times[-1] - data.start_time_secs == pytest.approx(sum(seconds), abs=1e-3)


def test_going_on_leaves_no_round_twice(train, resume, rows) -> None:
    path = train(TOLD)
    resume(path, "rounds=5")
    assert list(scalars(reader(path))) == [1, 2, 3, 4, 5]
    assert scalars(reader(path)) == as_float32(rows(path))
    assert files(path) == {"000000": False, "000001": True}
    resume(path, "rounds=6")
    assert files(path) == {"000001": False, "000002": True}


def test_rounds_that_a_kill_has_lost_are_gone(train, resume, rows) -> None:
    path = train(TOLD)
    killed = tensorboard().start(tracked(path))
    for lost in range(1, 30):
        killed.log({"test/accuracy": 9.0}, lost, 1e9)
    assert len(scalars(reader(path))) == 29
    resume(path, "rounds=4")
    assert scalars(reader(path)) == as_float32(rows(path))
    killed.finish("failed")


def test_one_that_looks_on_meanwhile_drops_what_is_told_again(tmp_path: Path) -> None:
    first = tensorboard().start(tracked(tmp_path))
    for step in (1, 2, 3):
        first.log({"a": float(step)}, step, 1e9)
    found = reader(tmp_path)
    assert [event.step for event in found.Scalars("a")] == [1, 2, 3]
    second = tensorboard().start(tracked(tmp_path))
    second.log({"a": 7.0}, 1, 1e9)
    first.finish("interrupted")
    second.finish("finished")
    found.Reload()
    assert [(event.step, event.value) for event in found.Scalars("a")] == [(1, 7.0)]


def test_a_torn_last_event_does_not_hide_the_others(train, rows) -> None:
    path = train(TOLD)
    file = next((path / "tensorboard").iterdir())
    file.write_bytes(file.read_bytes()[:-10])
    assert list(scalars(reader(path))) == [1, 2]


def test_odd_figures_and_names(tmp_path: Path) -> None:
    begun = tensorboard().start(tracked(tmp_path, lists=[1, 2], nothing=None, yes=True))
    odd = {"client/accuracy@a b/ü": 1.0, "nan": float("nan"), "inf": float("inf"), "int": 2**40 + 1}
    begun.log(odd, 1, 1e9)
    begun.finish("finished")
    found = scalars(reader(tmp_path))[1]
    assert found.pop("nan") != found.get("nan")
    assert found == {"client/accuracy@a b/ü": 1.0, "inf": float("inf"), "int": 2.0**40}


def test_a_full_disk_costs_a_warning_and_no_round(train, rows, capsys) -> None:
    path = train("rounds=40", "run.dir=run")
    size = (path / "metrics.jsonl").stat().st_size
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, hard))  # no file may grow beyond this
    try:
        assert train("rounds=40", "run.dir=run", TOLD) == path
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    said = capsys.readouterr().err
    assert said.startswith("fedrun: tracker=tensorboard failed in round 40 and is left out: OSErr")
    assert said.count("\n") == 1
    assert 0 < len(scalars(reader(path))) < 40


def test_a_full_disk_on_the_way(train, rows, capsys) -> None:
    words = [TOLD, "clients.per_round=1", "rounds=12", "checkpoint.every=0",
             "evaluate.every=0", "run.dir=run"]  # fmt: skip
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4000, hard))
    try:
        path = train(*words)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "tracker=tensorboard failed in round" in capsys.readouterr().err
    assert read_manifest(path)["status"] == "finished"
    assert len(rows(path)) == 12


def test_flat_hyperparameters_are_what_the_config_says(train) -> None:
    path = train(TOLD)
    content = reader(path).summary_metadata["_hparams_/session_start_info"].plugin_data.content
    told = HParamsPluginData.FromString(content).session_start_info.hparams
    assert {"clients.count", "local.lr", "model"} <= set(told)
    assert flat({"a": {"name": "x", "b": 1}}) == {"a": "x", "a.b": 1}
