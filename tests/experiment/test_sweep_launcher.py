"""Runs started for real: on this machine, and through submitit's local executor."""

import json
import os
import signal
import time
from pathlib import Path

import pytest

from fedrun.cli.sweep import launched
from fedrun.core.option import ConfigError
from fedrun.experiment import launcher_submitit, sweep, sweep_work
from fedrun.experiment.launcher import End, Launcher, Local, Work, how
from fedrun.experiment.launcher_submitit import Submitit, sorted_options

SMALL = ["data=wine", "model=logistic", "clients.count=5"]


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def end_of(work: Work) -> End:
    while (end := work.poll()) is None:
        time.sleep(0.02)
    return end


def test_a_reason_is_the_last_message() -> None:
    assert (
        End(1, "odd warning\nfedrun: first line\nsecond line").reason == "first line\nsecond line"
    )
    assert End(1, "Traceback\nValueError: x").reason == "Traceback\nValueError: x"
    assert End(-15, "").reason == "ended by signal 15 (SIGTERM)"
    assert how(3) == "ended with status 3"


def test_how_a_process_ended_here() -> None:
    end = end_of(Local().start(["show", "rounds=x"]))
    assert (end.code, end.reason.partition(" is not")[0]) == (2, "rounds='x'")
    assert end_of(Local().start(["--version"])) == End(0, "")


def test_it_is_killed_with_our_process_group() -> None:
    work = Local().start(["list"])
    assert os.getpgid(work.popen.pid) == os.getpgid(0)  # type: ignore[attr-defined]
    work.stop()
    work.wait()


def test_options_of_slurm() -> None:
    given = ["partition=gpu", "timeout_min=30", "cpus-per-task=2", "slurm_qos=low", "time=1-00"]
    assert sorted_options(given) == (
        {"timeout_min": 30, "cpus_per_task": 2},
        {"slurm_partition": "gpu", "slurm_qos": "low", "slurm_time": "1-00"},
    )
    for wrong in ("partition", "partition=", "=x", "mem_gb=much", "nodes=2"):
        with pytest.raises(ConfigError, match=f"--slurm {wrong}"):
            sorted_options([wrong])


def test_without_submitit(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "submitit", None)
    with pytest.raises(ConfigError, match=r"pip install 'fedrun\[slurm\]'"):
        Submitit(root / "jobs", [])


def test_an_option_that_slurm_lacks_leaves_nothing(root: Path) -> None:
    pytest.importorskip("submitit", reason="the extra 'slurm' is not installed")
    with pytest.raises(ConfigError, match=r"partitio=.*did you mean 'partition'"):
        Submitit(root / "jobs", ["partitio=gpu"], "local")
    assert list(root.iterdir()) == []


def test_an_option_that_is_like_none_gets_no_guess(root: Path) -> None:
    pytest.importorskip("submitit", reason="the extra 'slurm' is not installed")
    with pytest.raises(ConfigError, match=r"submitit has no such option$"):
        Submitit(root / "jobs", ["cluster=local"], "local")


def test_where_there_is_no_slurm_it_is_said(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("submitit", reason="the extra 'slurm' is not installed")
    monkeypatch.setenv("PATH", str(root))  # no sbatch
    planned = sweep.plan("train", [*SMALL, "seed=1"])
    assert isinstance(launched("local", None, planned), Local)
    assert capsys.readouterr().err == ""
    launched("submitit", [], planned)
    told = "fedrun: there is no SLURM here: cells run in processes of this machine\n"
    assert capsys.readouterr().err == told


@pytest.mark.slow
def test_cells_as_jobs(root: Path) -> None:
    pytest.importorskip("submitit", reason="the extra 'slurm' is not installed")
    planned = sweep.plan("train", [*SMALL, "rounds=1", "seed=1", "local.lr=0.1,1e38"])
    planned.open()
    launcher: Launcher = Submitit(planned.path / "submitit", [], "local")
    sweep_work.work(planned, 2, launcher, sweep_work.Nobody())
    planned.close()
    assert [cell.status for cell in planned.cells] == ["finished", "failed"]
    assert "not finite" in str(planned.cells[1].reason)
    codes = [int(file.read_text().split()[0]) for file in (planned.path / "submitit").glob("*.end")]
    assert sorted(codes) == [0, 1]


@pytest.mark.slow
def test_a_cancelled_job_saves_its_run(root: Path, request: pytest.FixtureRequest) -> None:
    pytest.importorskip("submitit", reason="the extra 'slurm' is not installed")
    words = [*SMALL, "rounds=20000", "run.dir=run"]
    # As fedrun's commands do. What a shell starts with `&` ignores it, and so would the job.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))
    work = Submitit(root / "jobs", [], "local").start(["train", "-q", *words])
    while not (root / "run" / "metrics.jsonl").exists():
        assert work.poll() is None
        time.sleep(0.05)
    work.stop()
    work.wait()
    for _ in range(100):  # the job itself may be gone before its fedrun is
        status = json.loads((root / "run" / "manifest.json").read_text())["status"]
        if status == "interrupted":
            break
        time.sleep(0.1)
    assert status == "interrupted"


def test_a_job_that_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    class Job:
        job_id, state = "7", "OUT_OF_MEMORY"
        paths = type("Paths", (), {"stderr": Path("7_0_log.err")})

        def done(self) -> bool:
            return True

    end = launcher_submitit._Job(Job(), Path("nothing.end")).poll()
    assert end is not None
    assert end.reason == "job 7 ended (OUT_OF_MEMORY); see 7_0_log.err"
