"""Runs in processes of their own: found again, gone on with, and never left behind."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fedrun.core.option import ConfigError
from fedrun.experiment import batch
from fedrun.experiment.compose import compose

SMALL = ["data=wine", "model=logistic", "clients.count=5", "rounds=3"]


class Notes:
    def __init__(self) -> None:
        self.said: list[tuple[str, str]] = []

    def started(self, job):
        self.said.append(("started", job.path.name))

    def advanced(self, job, round):
        self.said.append(("advanced", job.path.name))

    def ended(self, job, failure):
        self.said.append(("failed" if failure else "ended", job.path.name))

    def left(self, job, round):
        self.said.append(("left", job.path.name))


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def job(*words: str) -> batch.Job:
    return batch.job(compose("train", [*SMALL, *words]))


def status(path: Path) -> str:
    return json.loads((path / "manifest.json").read_text())["status"]


@pytest.mark.slow
def test_two_at_a_time_one_of_which_fails(root):
    jobs = [job("seed=1"), job("seed=1"), job("seed=2"), job("local.lr=1e38", "seed=3")]
    assert [each.status for each in jobs] == [None] * 4
    notes = Notes()
    failures = batch.run(jobs, 2, notes)
    assert list(failures) == [jobs[3].path]
    assert "not finite" in failures[jobs[3].path]
    assert [status(each.path) for each in jobs] == ["finished"] * 3 + ["failed"]
    ends = [what for what, _ in notes.said if what in ("started", "ended", "failed")]
    assert ends.count("started") == 3, "the same run is run once"
    assert (ends.count("ended"), ends.count("failed")) == (2, 1)
    assert batch.last_round(jobs[0].path) == 3
    # Found again: by the same words, and by others that come to the same config.
    assert job("seed=1").finished
    other = batch.job(compose("train", ["seed=1", *SMALL, "local.lr=0.1", "name=other"]))
    assert (other.finished, other.path) == (True, jobs[0].path)
    again = Notes()
    assert batch.run([job("seed=1"), job("seed=2")], 1, again) == {}
    assert again.said == []


def test_the_same_config_is_one_job(root):
    known: dict[str, batch.Job] = {}
    first, second = (
        batch.job(compose("train", [*SMALL, *words]), known)
        for words in (["name=a"], ["name=b", "local.lr=0.1"])
    )
    assert first is second
    assert first.path.parent.name == "a"


@pytest.mark.slow
def test_an_unfinished_run_is_gone_on_with(root):
    one = job("rounds=40", "checkpoint.every=1")
    words = [sys.executable, "-m", "fedrun", "train", "-q", *one.composed.command]
    with subprocess.Popen(words, stderr=subprocess.DEVNULL) as process:
        while not (one.path / "checkpoints/latest").exists():
            time.sleep(0.01)
        process.kill()
    found = job("rounds=40", "checkpoint.every=1")
    assert (found.status, found.words[0]) == ("running", "resume")
    assert batch.run([found], 1, Notes()) == {}
    manifest = json.loads((one.path / "manifest.json").read_text())
    assert (manifest["status"], manifest["resumed"]) == ("finished", 1)


@pytest.mark.slow
def test_a_config_that_is_changed_before_its_run_begins(root):
    file = root / "mine.yaml"
    file.write_text("data: wine\nmodel: logistic\nrounds: 1\n")
    one = batch.job(compose(str(file)))
    file.write_text("data: wine\nmodel: logistic\nrounds: 2\n")
    failures = batch.run([one], 1, Notes())
    assert "files were changed meanwhile" in failures[one.path]


@pytest.mark.slow
def test_a_mistake_ends_it_all(root):
    wrong = job("local.momentum=7")
    with pytest.raises(ConfigError, match=r"local.momentum=7.*out of range"):
        batch.run([wrong, job("seed=1")], 1, Notes())
    assert not (root / "runs").exists()


@pytest.mark.slow
def test_a_run_that_another_process_has_is_left_to_it(root):
    busy, free = job("seed=1", "rounds=100000"), job("seed=2")
    words = [sys.executable, "-m", "fedrun", "train", "-q", *busy.composed.command]
    with subprocess.Popen(words, stderr=subprocess.DEVNULL) as process:
        while batch.last_round(busy.path) < 2:
            time.sleep(0.01)
        failures = batch.run([busy.again(), free], 1, Notes())
        process.send_signal(signal.SIGINT)
    assert list(failures) == [busy.path]
    assert "is in use" in failures[busy.path]
    assert free.again().finished


@pytest.mark.slow
def test_when_interrupted_the_runs_are_saved(root):
    jobs = [job("rounds=100000", f"seed={seed}") for seed in (1, 2)]

    class Interrupting(Notes):
        def advanced(self, job, round):
            if all(batch.last_round(each.path) > 3 for each in jobs):
                os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        batch.run(jobs, 2, Interrupting())
    for each in jobs:
        assert status(each.path) == "interrupted"
        latest = (each.path / "checkpoints/latest").read_text()
        assert int(latest[6:]) == batch.last_round(each.path)


@pytest.mark.slow
def test_one_that_has_lost_is_saved_and_left(root):
    jobs = [job("rounds=100000", "seed=1"), job("seed=2")]
    notes = Notes()
    lost = {jobs[0].path: 3, jobs[1].path: 1000}
    assert (
        batch.run(jobs, 1, notes, lost=lambda it: batch.last_round(it.path) >= lost[it.path]) == {}
    )
    assert [status(each.path) for each in jobs] == ["interrupted", "finished"]
    assert [what for what, _ in notes.said if what != "advanced"] == [
        "started", "left", "started", "ended"
    ]  # fmt: skip
    again = Notes()
    assert batch.run([jobs[0].again()], 1, again, lost=lambda it: True) == {}
    assert again.said == [("left", jobs[0].path.name)], "nothing is begun for it"


def test_the_rounds_so_far(tmp_path):
    assert batch.last_round(tmp_path) == 0
    log = tmp_path / "metrics.jsonl"
    log.write_text("")
    assert batch.last_round(tmp_path) == 0
    log.write_text('{"round": 1}\n{"rou')
    assert batch.last_round(tmp_path) == 1
    log.write_text("".join(f'{{"round": {at}, "x": "{"-" * 99}"}}\n' for at in range(1, 1000)))
    assert batch.last_round(tmp_path) == 999
