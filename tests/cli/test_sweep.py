"""`fedrun sweep` as a user meets it."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

from fedrun.cli import sweep_table
from fedrun.cli.completion import complete
from fedrun.cli.theme import THEME
from fedrun.experiment import batch, sweep_work
from fedrun.experiment.launcher import End, Local
from fedrun.experiment.sweep import plan

SMALL = "data=wine model=logistic clients.count=5 rounds=2"
LONG = "data=wine model=logistic clients.count=5 rounds=300000"


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch, fedrun) -> list[list[str]]:
    """Runs in this process, by the program's own commands; what was started."""
    started: list[list[str]] = []

    class Done:
        def __init__(self, end: End) -> None:
            self.end = end

        def poll(self) -> End:
            return self.end

        def stop(self) -> None:
            pass

        wait = stop

    def start(_: Local, words: list[str]) -> Done:
        started.append(list(words))
        answer = fedrun(list(words), code=None)
        return Done(End(answer.code, answer.err.strip()))

    monkeypatch.setattr(Local, "start", start)
    monkeypatch.setattr(sweep_work, "LOOK", 0.0)
    return started


def test_a_line_for_each_event_and_a_table(fedrun, here) -> None:
    words = f"sweep {SMALL} seed=0,1 local.lr=0.1,1e38 -j 2"
    answer = fedrun(words, 1)
    lines = answer.out.splitlines()
    assert lines[0] == "4 cells: 4 to run"
    assert "1/4 seed=0 local.lr=0.1  begins" in lines
    done = r"1/4 seed=0 local\.lr=0\.1  finished: test/accuracy [01]\.\d{4} after 2 rounds"
    assert any(re.fullmatch(done, line) for line in lines)
    assert re.search(r"2/4 seed=0 local.lr=1e\+38  failed: round 1: .* diverged|finite", answer.out)
    assert re.search(r"^1  0     0\.1       done +2  [01]\.\d{4} *$", answer.out, re.MULTILINE)
    assert "\n2 seed=0 local.lr=1e+38  failed: round 1: " in answer.out
    assert "4 cells: 2 done, 2 failed" in answer.out
    assert f"again    fedrun {words.removesuffix(' -j 2')} --retry-failed" in answer.out
    assert re.search(r"table    fedrun compare runs/train/sweep-\w{8}\n", answer.out)
    # The same again runs nothing, and still fails; on request the failed ones are gone on with.
    here.clear()
    assert "4 cells: 2 done, 2 failed" in fedrun(words, 1).out
    assert here == []
    fedrun(f"{words} --retry-failed", 1)
    assert [word[0] for word in here] == ["resume", "resume"]


def test_an_impossible_partition_and_a_divergence_stop_no_other(fedrun) -> None:
    words = f"sweep {SMALL} partition=classes partition.classes_per_client=2,99 local.lr=0.1,1e38"
    answer = fedrun(words, 1)
    assert "4 cells: 1 done, 3 failed" in answer.out
    assert re.search(r"failed: .*classes_per_client=99", answer.out)
    assert re.search(r"failed: round 1", answer.out)


def test_quiet_prints_the_path(fedrun) -> None:
    answer = fedrun(f"sweep {SMALL} seed=0,1 -q")
    assert re.fullmatch(r"runs/train/sweep-\w{8}\n", answer.out)
    assert (Path(answer.out.strip()) / "sweep.json").is_file()
    answer = fedrun(f"sweep {SMALL} local.lr=0.1,1e38 -q", 1)
    assert re.fullmatch(r"runs/train/sweep-\w{8}\n", answer.out)
    assert "1 of 2 cells failed; see runs/train/sweep-" in answer.err


def test_json_lines(fedrun) -> None:
    answer = fedrun(f"sweep {SMALL} seed=0,1 local.lr=0.1,1e38 --json", 1)
    events = [json.loads(line) for line in answer.out.splitlines()]
    assert events[0]["event"] == "sweep"
    assert events[0]["cells"] == 4
    for kind, count in {"start": 4, "end": 4, "done": 1}.items():
        assert [event["event"] for event in events].count(kind) == count
    last = next(event for event in events if event["event"] == "round" and event["cell"] == 1)
    assert (last["round"], last["rounds"]) == (2, 2)
    ends = {event["cell"]: event for event in events if event["event"] == "end"}
    assert ends[1]["status"] == "finished"
    assert ends[1]["figures"]["test/accuracy"] == last["test/accuracy"]
    assert ends[1]["overrides"] == ["seed=0", "local.lr=0.1"]
    assert ends[2]["status"] == "failed"
    assert ends[2]["reason"].startswith("round 1")
    assert events[-1] == {"event": "done", "path": events[0]["path"], "finished": 2, "failed": 2}


def test_a_dry_run_writes_nothing_and_tells_the_cost(fedrun, folder: Path, here) -> None:
    answer = fedrun(f"sweep {SMALL} seed=0,1 clients.per_round=2,5 --dry-run")
    assert re.search(
        r"^1  seed=0 clients.per_round=2  waiting +2 +4 +runs/train/", answer.out, re.M
    )
    assert "4 cells: 4 to run; 28 client updates" in answer.out
    assert (list(folder.iterdir()), here) == ([], [])
    fedrun(f"sweep {SMALL} seed=0 clients.per_round=2,5")
    answer = fedrun(f"sweep {SMALL} seed=0,1 clients.per_round=2,5 --dry-run")
    assert re.search(r"^1 .* finished ", answer.out, re.M)
    assert re.search(
        r"^3  seed=1 clients.per_round=2  waiting +2 +4 +0\.\d s  runs", answer.out, re.M
    )
    assert "14 client updates, about 0." in answer.out
    lines = fedrun(f"sweep {SMALL} seed=0,1 --dry-run --json").out.splitlines()
    assert [json.loads(line)["updates"] for line in lines] == [10, 10]


@pytest.mark.parametrize("search", ["", "--sampler random --trials 2"])
def test_a_metric_that_is_none_is_refused_before_anything_runs(fedrun, search: str) -> None:
    if search:
        pytest.importorskip("optuna", reason="the extra 'sweep' is not installed")
    answer = fedrun(f"sweep {SMALL} local.lr=0.1,0.2 {search} --metric test/acuracy", 2)
    assert "did you mean 'test/accuracy'?" in answer.err
    assert not Path("runs").exists()


def test_a_metric_that_is_shown(fedrun) -> None:
    answer = fedrun(f"sweep {SMALL} seed=0,1 --metric test/loss")
    assert len(re.findall(r"finished: test/loss \d", answer.out)) == 2
    answer = fedrun(f"sweep {SMALL} seed=0,1 --metric test/r2")
    assert "test/r2 was not measured (measured: train/loss, " in answer.err


def test_one_cell_is_a_sweep_too(fedrun) -> None:
    assert "1 cell: 1 done" in fedrun(f"sweep {SMALL}").out


MISTAKES = {
    "sweep local.lrr=1,2": "has no option 'lrr'; did you mean 'lr'?",
    "sweep seed=0,1 local.lr=0.1,-1": "local.lr=-1 is out of range",
    "sweep algorithm=fedavg,fedporx": "did you mean 'fedprox'?",
    "sweep config=train,trian": "config=trian",
    "sweep seed=range(3,0)": "has no values",
    "sweep local.lr=interval(0,1)": "--sampler tpe --trials 20",
    "sweep seed=0,1 run.dir=x": "run.root=FOLDER",
    "sweep seed=0,1 --trials 3": "--trials has no effect without --sampler",
    "sweep seed=0,1 --sampler-seed 3": "--sampler-seed has no effect",
    "sweep local.lr=0.1,1 --sampler tpe": "--sampler tpe needs --trials N",
    "sweep seed=0,1 --sampler tpe --trials 3": "the luckiest one would win",
    "sweep seed=0,1 --slurm partition=x": "--slurm has no effect without --launcher submitit",
    "sweep seed=0,1 -q --json": "exclude each other",
    "sweep seed=0,1 --jobs 0": "--jobs",
    "train local.lr=0.1,0.2": "'fedrun sweep' runs each",
}


@pytest.mark.parametrize("words", MISTAKES)
def test_mistakes_start_nothing(fedrun, folder: Path, here, words: str) -> None:
    answer = fedrun(words, 2)
    assert MISTAKES[words] in answer.err
    assert (list(folder.iterdir()), here) == ([], [])


@pytest.mark.slow
def test_a_search_names_the_best(fedrun) -> None:
    pytest.importorskip("optuna", reason="the extra 'sweep' is not installed")
    words = f"sweep {SMALL} local.lr=tag(log,interval(0.0001,1)) --sampler random --trials 4"
    assert "4 cells: 4 to be proposed" in fedrun([*words.split(), "--dry-run"]).out
    answer = fedrun(words)
    assert "4 cells: 4 done" in answer.out
    best = re.search(r"best: local.lr=\S+, test/accuracy (\d\.\d{4}); .* optimistic", answer.out)
    figures = re.findall(r"finished: test/accuracy (\d\.\d{4})", answer.out)
    assert best
    assert best[1] == max(figures)
    assert len(figures) == 4
    assert "5 cells: 5 done" in fedrun(f"{words[:-1]}5").out, "more trials go on from those"


def picture(sweep, width: int, height: int) -> list[str]:
    console = Console(theme=THEME, width=width, height=height)
    with console.capture() as captured:
        console.print(sweep_table.picture(sweep, 60, width, height - 1))
    return [line.rstrip() for line in captured.get().splitlines()]


@pytest.mark.parametrize(("width", "height"), [(80, 24), (60, 16), (160, 50)])
def test_the_live_table_fits_any_window(width: int, height: int) -> None:
    sweep = plan("train", [*SMALL.split(), "seed=range(60)", "local.lr=0.1"])
    for cell in sweep.cells:
        cell.round = 2 if cell.number < 30 else 0
        cell.status = "finished" if cell.number < 30 else "waiting"
        cell.figures, cell.ended = {"test/accuracy": cell.number / 100}, cell.number
    sweep.cells[4].status, sweep.cells[4].reason = "failed", "training\nhas [diverged] " * 20
    for number in (30, 31):
        sweep.cells[number - 1].status = "running"
    lines = picture(sweep, width, height)
    assert len(lines) < height
    assert all(len(line) <= width for line in lines)
    assert lines[0] == "60 cells: 28 done, 1 failed, 2 running, 29 to run"
    text = "\n".join(lines)
    for shown in (
        r" 5  4 .*failed +2/2  training",
        r"30  29 .*running",
        r"31  30 ",
        r"29  28 .*0.29",
    ):
        assert re.search(shown, text), shown
    shown = len(re.findall(r"^ ?\d+  \d", text, re.MULTILINE))
    hidden = sum(map(int, re.findall(r"(\d+) (?:done|waiting|failed)", lines[-1])))
    assert shown + hidden == 60


def test_tab_offers_the_last_of_several_values() -> None:
    assert complete("algorithm=fedavg,fedpro") == ["algorithm=fedavg,fedprox"]
    assert "algorithm=fedprox,fedprox" not in complete("algorithm=fedprox,fedp")
    assert complete("config=train,example/cl") == ["config=train,example/clinics"]


def test_from_python(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import fedrun as package

    monkeypatch.setitem(sys.modules, "pandas", None)
    words = [*SMALL.split(), "seed=0,1", "local.lr=0.1,1e38"]
    done = package.sweep("train", words, jobs=2)
    assert [row["status"] for row in done.table] == ["finished", "failed"] * 2
    assert [row["seed"] for row in done.table] == [0, 0, 1, 1]
    assert [run.status for run in done.runs] == ["finished", "finished"]
    assert done.table[2]["test/accuracy"] == done.runs[1].summary["final"]["test/accuracy"]
    assert list(done.failures) == ["seed=0 local.lr=1e+38", "seed=1 local.lr=1e+38"]
    assert package.load(done.path) == done
    page = done._repr_html_()
    assert "<th>test/accuracy</th>" in page
    assert page.count("<tr>") == 7  # a head, four cells, two reasons
    with pytest.raises(TypeError, match="overrides is a list"):
        package.sweep("train", "seed=0,1")


def is_alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


class TestForReal:
    """Processes of their own."""

    @pytest.fixture(autouse=True)
    def here(self) -> None:
        """None of the above."""

    def start(self, *words: str) -> subprocess.Popen:
        return subprocess.Popen(
            [sys.executable, "-m", "fedrun", "sweep", *LONG.split(), *words],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True, text=True,
        )  # fmt: skip

    @pytest.mark.slow
    def test_ctrl_c_saves_all_and_sigkill_leaves_nobody(self, folder: Path) -> None:
        statuses = {}
        for number in (signal.SIGINT, signal.SIGKILL):
            with self.start("seed=0,1", "-j", "2") as process:
                self.until_all_train(folder, 2)
                os.killpg(process.pid, number)  # as a terminal does: the runs get it too
                _, err = process.communicate()
            statuses[number] = process.returncode
            if number == signal.SIGINT:
                assert "0 of 2 cells are done, the others saved" in err
                files = folder.glob("*/*/*/manifest.json")
                found = [json.loads(file.read_text())["status"] for file in files]
                assert found == ["interrupted"] * 2
        assert statuses == {signal.SIGINT: 130, signal.SIGKILL: -signal.SIGKILL}
        last = time.monotonic() + 20
        while is_alive(process.pid):
            assert time.monotonic() < last, "a run goes on although its sweep was killed"
            time.sleep(0.05)

    def until_all_train(self, folder: Path, count: int) -> None:
        def lines() -> list[int]:
            return [batch.last_round(file.parent) for file in folder.glob("*/*/*/metrics.jsonl")]

        before, last = lines() or [0] * count, time.monotonic() + 60
        while True:
            now = lines()
            if len(now) == count and all(b < n for b, n in zip(before, now, strict=True)):
                return
            assert time.monotonic() < last, now
            time.sleep(0.02)
