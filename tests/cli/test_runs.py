"""`fedrun runs` on really trained ones, one of them alive; and what --prune says and does."""

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fedrun.experiment.lock import take_lock


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_finished_failed_and_dead(fedrun, folder: Path, made_run) -> None:
    fedrun.small(folder / "runs" / "good")
    made_run(folder / "runs" / "dead", [0.5], status="running", config={"rounds": 9})
    answer = fedrun("runs")
    rows = {line.split()[-1]: line for line in answer.out.splitlines()[1:3]}
    assert re.match(r"finished +3/3 +[01]\.\d{4} +\d+ s +\d+ kB +runs/good", rows["runs/good"])
    assert re.match(r"dead +1/9 +0\.5000 ", rows["runs/dead"])
    assert "2 runs (" in answer.out
    assert "fedrun resume RUN" in answer.out
    content = json.loads(fedrun("runs runs --json").out)
    assert {run["path"]: (run["status"], run["round"], run["rounds"]) for run in content} == {
        "runs/good": ("finished", 3, 3), "runs/dead": ("dead", 1, 9),
    }  # fmt: skip


def test_a_killed_run_is_dead_and_a_living_one_is_not(fedrun, folder: Path) -> None:
    words = ["train", "-q", "data=wine", "model=logistic", "clients.count=5", "rounds=100000",
             "evaluate.every=0", "run.dir=runs/long"]  # fmt: skip
    process = subprocess.Popen([sys.executable, "-m", "fedrun", *words])
    try:
        metrics = folder / "runs" / "long" / "metrics.jsonl"
        until = time.monotonic() + 60
        while not (metrics.exists() and metrics.stat().st_size) and time.monotonic() < until:
            time.sleep(0.05)
        assert fedrun("runs").out.splitlines()[1].startswith("running")
        before = fedrun("runs --prune --yes").out
        assert before.startswith("nothing to delete")
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert fedrun("runs").out.splitlines()[1].startswith("dead")


def test_prune_shows_first_and_deletes_when_told(fedrun, folder: Path, made_run) -> None:
    fedrun.small(folder / "runs" / "good", "checkpoint.keep=3")
    made_run(folder / "runs" / "dead", [0.5], status="running")
    before = tree(folder)
    shown = fedrun("runs --prune").out
    assert "runs/dead  (dead, no checkpoint)" in shown
    assert "round_000001  (an older checkpoint of a finished run)" in shown
    assert "would be deleted" in shown
    assert "Nothing was deleted: add --yes to do it." in shown
    assert tree(folder) == before
    plan = json.loads(fedrun("runs --prune --json").out)
    assert (plan["deleted"], len(plan["wastes"])) == (False, 3)
    assert plan["bytes"] == sum(waste["bytes"] for waste in plan["wastes"])
    done = json.loads(fedrun("runs --prune --yes --json").out)
    assert (done["deleted"], done["bytes"]) == (True, plan["bytes"])
    after = tree(folder)
    assert before.keys() - after.keys() == {
        path for path in before
        if path.startswith(str(folder / "runs" / "dead")) or "round_000001" in path
        or "round_000002" in path
    }  # fmt: skip
    assert after == {path: before[path] for path in after}
    assert fedrun("runs --prune").out.startswith("nothing to delete")
    # What is left is a whole run: it is scored, and goes on.
    fedrun("evaluate runs/good")
    fedrun("resume -q runs/good rounds=4")


def test_models_go_with_models_and_can_be_trained_again(
    fedrun, folder: Path, assert_same_bytes
) -> None:
    fedrun.small(folder / "runs" / "good")
    fedrun.small(folder / "other")
    fedrun("runs --prune --yes")
    assert (folder / "runs" / "good" / "model.safetensors").exists()
    shown = fedrun("runs --prune --models --yes").out
    assert "deleted: 2 x the model of a finished run" in shown
    assert not (folder / "runs" / "good" / "model.safetensors").exists()
    assert fedrun("runs").out.splitlines()[1].startswith("finished")
    fedrun("compare runs")
    fedrun("resume -q runs/good")
    assert_same_bytes(folder / "runs" / "good", folder / "other", ledger=False)


def test_a_run_in_use_is_said_to_stay(fedrun, folder: Path, made_run) -> None:
    run = made_run(folder / "runs" / "dead", [0.5], status="running")
    with take_lock(run):
        assert fedrun("runs --prune --yes").out == "nothing to delete\n"
    assert run.exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("runs", "there is no folder runs here; `fedrun train` makes it, or name one"),
        ("runs nowhere", "nowhere is not there"),
        ("runs nowhere --prune", "nowhere is not a folder"),
        ("runs --yes", "--yes has no effect without --prune"),
        ("runs --models", "--models has no effect without --prune"),
        ("runs --prune --metric test/loss", "--metric has no effect with --prune"),
        ("runs made --metric test/acc", "--metric test/acc was measured in none of 1 run"),
    ],
)
def test_mistakes(fedrun, folder: Path, made_run, words: str, message: str) -> None:
    made_run(folder / "made" / "one", [0.5])
    (folder / "made" / "one" / "summary.json").write_text('{"rounds": 1, "best": {}}')
    answer = fedrun(words, code=2)
    assert answer.err.startswith("fedrun: ")
    assert message in answer.err
    assert answer.out == ""


def test_an_empty_folder(fedrun, folder: Path) -> None:
    (folder / "runs").mkdir()
    assert fedrun("runs").out == "no runs in runs\n"
    assert json.loads(fedrun("runs --json").out) == []


@pytest.mark.parametrize("words", [["runs"], ["runs", "--prune"], ["runs", "--json"]])
def test_it_waits_for_no_pytorch(folder: Path, made_run, words: list[str]) -> None:
    made_run(folder / "runs" / "dead", [0.5], status="running")
    code = (
        f"import atexit, sys\nsys.argv = {['fedrun', *words]!r}\n"
        "atexit.register(lambda: print('torch' in sys.modules))\n"
        "from fedrun.cli.app import main\nmain()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"


@pytest.mark.slow
def test_a_thousand_runs_are_listed_in_five_seconds(folder: Path, made_run) -> None:
    for at in range(1000):
        made_run(folder / "runs" / str(at), [0.5] * 200, status="running", seed=at)
    began = time.perf_counter()
    subprocess.run([sys.executable, "-m", "fedrun", "runs"], capture_output=True, check=True)
    assert time.perf_counter() - began < 5
