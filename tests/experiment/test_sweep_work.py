"""Working a sweep off, with processes that are made up: what becomes of one stops no other."""

import json
import os
import signal
from pathlib import Path

import pytest

from fedrun.core.option import ConfigError
from fedrun.experiment import run, sweep, sweep_work
from fedrun.experiment.files import write_json
from fedrun.experiment.launcher import End
from fedrun.experiment.lock import take_lock
from fedrun.experiment.sweep_record import read_sweep

SMALL = ["data=wine", "model=logistic", "clients.count=5", "rounds=1"]


class Fake:
    """A process that ends as it is told to, at the second look; a finished one trains for real."""

    def __init__(self, cell: sweep.Cell, end: End | None) -> None:
        self.cell, self.end, self.looks, self.stopped = cell, end, 0, False

    def poll(self) -> End | None:
        self.looks += 1
        if self.stopped:
            return End(130, "fedrun: interrupted")
        if self.looks == 2 and self.end == End(0, ""):
            run.train(self.cell.job.composed, run.Nobody(), resume_unfinished=True)
        return self.end if self.looks >= 2 else None

    def stop(self) -> None:
        self.stopped = True

    def wait(self) -> None:
        assert self.stopped


class Launcher:
    def __init__(self, planned: sweep.Sweep, ends: dict[int, End | None]) -> None:
        self.planned, self.ends, self.started = planned, ends, []

    def start(self, words) -> Fake:
        cell = next(cell for cell in self.planned.cells if cell.job.words == list(words))
        self.started.append(cell.number)
        assert read_sweep(self.planned.path)["cells"]
        return Fake(cell, self.ends.get(cell.number, End(0, "")))


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sweep_work, "LOOK", 0.001)
    monkeypatch.setattr(sweep_work, "AGAIN", 0.01)
    return tmp_path


def work(ends=None, watcher=None, search=None, processes=2, **options):
    planned = sweep.plan("train", [*SMALL, "seed=range(4)"], **options)
    launcher = Launcher(planned, ends or {})
    planned.open()
    try:
        sweep_work.work(planned, processes, launcher, watcher or sweep_work.Nobody(), search)
    finally:
        planned.close()
    return planned, launcher.started


def statuses(planned: sweep.Sweep) -> list[str]:
    found = [cell.status for cell in planned.cells]
    assert [cell["status"] for cell in read_sweep(planned.path)["cells"]] == found
    return found


def test_one_cells_failure_stops_no_other() -> None:
    ends = {
        1: End(2, "fedrun: partition=classes is impossible"),
        2: End(1, "some warning\nfedrun: round 1: training has diverged"),
        3: End(-9, ""),
    }
    planned, started = work(ends)
    assert started == [1, 2, 3, 4]
    assert statuses(planned) == ["failed", "failed", "failed", "finished"]
    assert [cell.reason for cell in planned.cells] == [
        "partition=classes is impossible", "round 1: training has diverged",
        "ended by signal 9 (SIGKILL)", None,
    ]  # fmt: skip
    # The same again: what failed waits until it is asked for, what is finished stays.
    planned, started = work()
    assert (started, statuses(planned)[0]) == ([], "failed")
    planned, started = work(retry_failed=True)
    assert (started, statuses(planned)) == ([1, 2, 3], ["finished"] * 4)


def test_a_process_that_leaves_no_run_has_failed() -> None:
    class Idle(Fake):
        def poll(self) -> End | None:
            return End(0, "")

    planned = sweep.plan("train", [*SMALL, "seed=range(4)"])
    launcher = Launcher(planned, {})
    launcher.start = lambda words: Idle(planned.cells[0], None)  # type: ignore[method-assign]
    planned.open()
    sweep_work.work(planned, 1, launcher, sweep_work.Nobody())
    planned.close()
    assert "files were changed meanwhile" in str(planned.cells[0].reason)


def test_interrupted_from_outside_is_no_failure() -> None:
    planned, _ = work({2: End(130, "fedrun: interrupted")})
    assert statuses(planned) == ["finished", "interrupted", "finished", "finished"]
    planned, started = work()
    assert (started, statuses(planned)) == ([2], ["finished"] * 4)


def test_a_run_that_another_process_works_on_is_waited_for() -> None:
    first = sweep.plan("train", [*SMALL, "seed=range(4)"]).cells[0].job
    run.train(first.composed, run.Nobody())
    file = first.path / "manifest.json"
    manifest = json.loads(file.read_text())
    write_json(file, manifest | {"status": "running"})
    lock = take_lock(first.path)
    elsewhere = []

    class Watcher(sweep_work.Nobody):
        def idle(self) -> None:
            cell = planned.cells[0]
            elsewhere.append(cell.elsewhere)
            if planned.count("finished") == 3 and not lock.closed:
                write_json(file, manifest)  # the other process comes to its end
                lock.close()

    planned = sweep.plan("train", [*SMALL, "seed=range(4)"])
    launcher = Launcher(planned, {})
    planned.open()
    sweep_work.work(planned, 2, launcher, Watcher())
    planned.close()
    assert launcher.started == [2, 3, 4]
    assert any(elsewhere)
    assert statuses(planned) == ["finished"] * 4


def test_who_comes_second_waits_and_goes_on() -> None:
    class Second(Fake):
        def poll(self) -> End | None:
            return End(2, "fedrun: x is in use: another process is working on this run")

    planned = sweep.plan("train", [*SMALL, "seed=range(4)"])
    launcher = Launcher(planned, {})
    usual = launcher.start
    launcher.start = lambda words: (  # type: ignore[method-assign]
        usual(words) if 1 in launcher.started else Second(usual(words).cell, None)
    )
    planned.open()
    sweep_work.work(planned, 1, launcher, sweep_work.Nobody())
    planned.close()
    assert launcher.started == [1, 2, 3, 4, 1]
    assert statuses(planned) == ["finished"] * 4


def test_when_interrupted_all_is_told_and_noted() -> None:
    class Interrupting(sweep_work.Nobody):
        def idle(self) -> None:
            os.kill(os.getpid(), signal.SIGINT)

    planned = sweep.plan("train", [*SMALL, "seed=range(4)"])
    launcher = Launcher(planned, dict.fromkeys(range(1, 5)))
    planned.open()
    with pytest.raises(KeyboardInterrupt):
        sweep_work.work(planned, 2, launcher, Interrupting())
    planned.close()
    assert statuses(planned) == ["interrupted", "interrupted", "waiting", "waiting"]


def test_a_hopeless_cell_is_ended_and_stays_pruned() -> None:
    class Impatient(sweep_work.Grid):
        def hopeless(self, cell: sweep.Cell) -> bool:
            return cell.number == 2

    class Begun(Fake):
        """Writes a round, then goes on for ever."""

        def poll(self) -> End | None:
            if self.looks == 0:
                run.train(self.cell.job.composed, run.Nobody())
                file = self.cell.job.path / "manifest.json"
                write_json(file, json.loads(file.read_text()) | {"status": "interrupted"})
            return super().poll()

    planned = sweep.plan("train", [*SMALL, "seed=range(4)"])
    launcher = Launcher(planned, {})
    usual = launcher.start
    launcher.start = lambda words: (  # type: ignore[method-assign]
        Begun(planned.cells[1], None) if list(words) == planned.cells[1].job.words else usual(words)
    )
    planned.open()
    sweep_work.work(planned, 2, launcher, sweep_work.Nobody(), Impatient())
    planned.close()
    assert statuses(planned) == ["finished", "pruned", "finished", "finished"]
    assert planned.cells[1].reason == "behind the others in round 1"
    planned, started = work()
    assert (started, statuses(planned)[1]) == ([], "pruned")


def test_a_folder_that_cannot_be_made(root: Path) -> None:
    (root / "runs").write_text("a file")
    planned = sweep.plan("train", [*SMALL, "seed=0,1"])
    with pytest.raises(ConfigError, match="choose another"):
        planned.open()
