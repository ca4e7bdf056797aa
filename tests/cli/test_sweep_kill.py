"""A sweep that is killed again and again comes to the bytes of one that is never disturbed."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fedrun.experiment.sweep_record import read_sweep

SMALL = ["data=wine", "model=logistic", "clients.count=5", "checkpoint.every=2"]
SWEPT = ["algorithm=fedavg,fedprox,scaffold", "local.lr=0.01,0.05", "seed=range(4)"]


def start(folder: Path, *words: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "fedrun", "sweep", "--jobs", "2", *words],
        cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip


def to_its_end(folder: Path, *words: str) -> int:
    with start(folder, *words) as process:
        process.communicate()
        return process.returncode


def rounds(folder: Path) -> int:
    """Rounds that all runs in this folder have written."""
    files = folder.glob("runs/*/*/metrics.jsonl")
    return sum(file.read_bytes().count(b"\n") for file in files)


def group_is_gone(number: int) -> bool:
    try:
        os.killpg(number, 0)
    except ProcessLookupError:
        return True
    return False


def kill(folder: Path, after: int, *words: str) -> None:
    """SIGKILL to the sweep and everything that it has started, so many rounds from now."""
    goal = rounds(folder) + after
    with start(folder, *words) as process:
        while rounds(folder) < goal and process.poll() is None:
            time.sleep(0.01)
        assert process.poll() is None, "it was over before it could be killed"
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    last = time.monotonic() + 10
    while not group_is_gone(process.pid):
        assert time.monotonic() < last, "something of the sweep is still alive"
        time.sleep(0.05)


def outcome(folder: Path) -> dict[str, list[object]]:
    """Every cell's files, less the clock."""
    [path] = folder.glob("runs/train/sweep-*")
    found = {}
    for cell in read_sweep(path)["cells"]:
        lines = (cell["path"] / "metrics.jsonl").read_text().splitlines()
        metrics = [
            {key: value for key, value in json.loads(line).items() if not key.startswith("time/")}
            for line in lines
        ]
        rest = [
            (cell["path"] / name).read_bytes() for name in ("model.safetensors", "clients.jsonl")
        ]
        found[" ".join(cell["overrides"])] = [cell["status"], metrics, *rest]
    return found


@pytest.mark.slow
def test_24_cells_killed_three_times(tmp_path: Path) -> None:
    calm, wild = tmp_path / "calm", tmp_path / "wild"
    calm.mkdir()
    wild.mkdir()
    words = [*SMALL, *SWEPT, "rounds=30"]
    assert to_its_end(calm, *words) == 0
    for after in (100, 250, 200):
        kill(wild, after, *words)
    assert to_its_end(wild, *words) == 0
    resumed = [
        json.loads(file.read_text())["resumed"] for file in wild.glob("runs/*/*/manifest.json")
    ]
    assert sum(resumed) >= 3, "runs were killed while they ran, and gone on with"
    expected = outcome(calm)
    assert len(expected) == 24
    assert {status for status, *_ in expected.values()} == {"finished"}
    assert outcome(wild) == expected
