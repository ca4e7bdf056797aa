"""The run directory appears whole, is locked, and is cut back to its checkpoint."""

import json
from pathlib import Path

import pytest

from fedrun.core.option import ConfigError, RunError
from fedrun.experiment import directory, partition_file
from fedrun.experiment.compose import compose, config_hash, dump
from fedrun.experiment.directory import LOGS, RunDirectory, read_manifest
from fedrun.experiment.lock import is_in_use, take_lock
from fedrun.experiment.manifest import first_manifest

WORDS = ["data=blobs", "data.examples=100", "data.features=3", "clients.count=3", "rounds=4"]


@pytest.fixture
def begin(federation):
    """begin(path) -> the experiment and its new run directory."""

    def create(path: Path) -> tuple[object, RunDirectory]:
        composed = compose("train", WORDS)
        experiment = federation(*WORDS)
        facts = first_manifest(config_hash(composed.values), composed, experiment)
        return experiment, RunDirectory.create(path, dump(composed.values), experiment, facts)

    return create


def test_a_new_run_has_its_name_only_when_it_is_whole(
    begin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, seen = tmp_path / "a" / "run", []
    real = directory.write_bytes

    def write(file: Path, content: bytes) -> None:
        seen.append(file.name)
        assert not path.exists()
        real(file, content)

    for module in (directory, partition_file):
        monkeypatch.setattr(module, "write_bytes", write)
    begin(path)[1].close()
    assert seen[:2] == ["config.yaml", "partition.npz"]
    assert {file.name for file in path.iterdir()} == {
        ".lock", "config.yaml", "manifest.json", "partition.json", "partition.npz", *LOGS
    }  # fmt: skip
    assert [file.name for file in path.parent.iterdir()] == ["run"]


@pytest.mark.parametrize("name", ["config.yaml", "partition.json", "audit.jsonl"])
def test_a_failure_leaves_nothing(
    begin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    real = directory.write_bytes

    def fail(file: Path, content: bytes) -> None:
        if file.name == name:
            raise OSError(28, "No space left on device")
        real(file, content)

    def full(file: object, content: bytes) -> None:
        raise OSError(28, "No space left on device")

    for module in (directory, partition_file):
        monkeypatch.setattr(module, "write_bytes", fail)
    if name == "audit.jsonl":
        monkeypatch.setattr(directory, "append", full)
    with pytest.raises(OSError, match="No space"):
        begin(tmp_path / "runs" / "run")
    assert list((tmp_path / "runs").iterdir()) == []


def test_half_made_runs_are_cleared_and_empty_folders_taken(begin, tmp_path: Path) -> None:
    (tmp_path / ".run.new").mkdir()
    (tmp_path / ".run.new" / "config.yaml").write_text("half")
    (tmp_path / "run").mkdir()
    begin(tmp_path / "run")[1].close()
    assert [file.name for file in tmp_path.iterdir()] == ["run"]
    (tmp_path / ".other.new").mkdir()
    with take_lock(tmp_path / ".other.new"), pytest.raises(ConfigError, match="is in use"):
        begin(tmp_path / "other")
    assert (tmp_path / ".other.new").is_dir()


def test_one_process_at_a_time(begin, tmp_path: Path) -> None:
    _, run = begin(tmp_path / "run")
    assert is_in_use(run.path)
    with pytest.raises(ConfigError, match="is in use"):
        RunDirectory.reopen(run.path, run.manifest)
    run.close()
    assert not is_in_use(run.path)
    RunDirectory.reopen(run.path, run.manifest).close()


def test_logs_are_cut_back_to_the_checkpoint(begin, play, tmp_path: Path) -> None:
    experiment, run = begin(tmp_path / "run")
    events = play(experiment)
    for event in events[:2]:
        run.append(event)
    run.checkpoint(events[1].state, keep=2)
    before = {name: (run.path / name).read_bytes() for name in LOGS}
    run.append(events[2])
    run.close()
    with (run.path / "clients.jsonl").open("ab") as file:
        file.write(b'{"half": ')
    again = RunDirectory.reopen(run.path, read_manifest(run.path))
    state, history = again.restore(experiment)
    assert state.round == 2
    assert [line["round"] for line in history] == [1, 2]
    assert {name: (run.path / name).read_bytes() for name in LOGS} == before
    again.append(events[2])
    again.checkpoint(events[2].state, keep=2)
    again.close()
    third = RunDirectory.reopen(run.path, read_manifest(run.path))
    assert third.restore(experiment)[0].round == 3
    third.close()


def test_a_log_that_a_checkpoint_vouched_for_may_not_change(begin, play, tmp_path: Path) -> None:
    experiment, run = begin(tmp_path / "run")
    first, second = play(experiment)[:2]
    run.append(first)
    run.append(second)
    run.checkpoint(second.state, keep=2)
    run.close()
    for name in LOGS:
        log = run.path / name
        content = log.read_bytes()
        log.write_bytes(content.replace(b"1", b"2", 1))
        again = RunDirectory.reopen(run.path, read_manifest(run.path))
        with pytest.raises(RunError, match=f"{name} is damaged"):
            again.restore(experiment)
        again.close()
        log.write_bytes(content)


def test_the_last_line_of_the_metrics_is_the_checkpoints_own(begin, play, tmp_path: Path) -> None:
    experiment, run = begin(tmp_path / "run")
    event = play(experiment)[0]
    run.append(event)
    run.checkpoint(event.state, keep=2)
    run.close()
    log = run.path / "metrics.jsonl"
    content = log.read_bytes()
    log.write_bytes(b"torn")
    again = RunDirectory.reopen(run.path, read_manifest(run.path))
    _, history = again.restore(experiment)
    again.close()
    assert history == [event.metrics]
    assert log.read_bytes() == content


def test_a_manifest_must_hold_what_is_asked_of_it(begin, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is no run directory"):
        read_manifest(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match=r"it has no manifest\.json"):
        read_manifest(tmp_path)
    _, run = begin(tmp_path / "run")
    run.close()
    file = run.path / "manifest.json"
    facts = json.loads(file.read_text())
    assert read_manifest(run.path) == facts
    for change in ({"status": "done"}, {"config": "x"}, {"data": {}}, {"partition": None},
                   {"resumed": "1"}, {"status": "finished"}):  # fmt: skip
        file.write_text(json.dumps({**facts, **change}))
        with pytest.raises(RunError, match=r"manifest\.json is damaged"):
            read_manifest(run.path)
