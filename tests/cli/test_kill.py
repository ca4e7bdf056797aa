"""Killed at any instant and resumed, a run comes to the same bytes as one that nobody disturbed."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

CONFIG = [
    "algorithm=scaffold",
    "local.momentum=0.5",
    "server.momentum=0.9",
    "server.lr=0.1",
    "clients.per_round=5",
    "model.hidden=[64]",
    "engine.workers=2",
    "rounds=120",
    "checkpoint.every=7",
]
FEDRUN = [sys.executable, "-m", "fedrun"]


def start(*words: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([*FEDRUN, *words], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def finish(*words: str) -> None:
    process = start(*words)
    _, error = process.communicate(timeout=120)
    assert process.returncode == 0, error.decode()


def without_time(file: Path) -> list[dict[str, object]]:
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    return [{k: v for k, v in line.items() if not k.startswith("time/")} for line in lines]


def assert_same(run: Path, other: Path) -> None:
    assert (run / "model.safetensors").read_bytes() == (other / "model.safetensors").read_bytes()
    assert (run / "clients.jsonl").read_bytes() == (other / "clients.jsonl").read_bytes()
    assert (run / "audit.jsonl").read_bytes() == (other / "audit.jsonl").read_bytes()
    assert without_time(run / "metrics.jsonl") == without_time(other / "metrics.jsonl")
    assert json.loads((run / "manifest.json").read_text())["status"] == "finished"


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    path = tmp_path_factory.mktemp("undisturbed") / "run"
    began = time.monotonic()
    finish("train", "--quiet", *CONFIG, f"run.dir={path}")
    return path, time.monotonic() - began


def kill_and_resume(path: Path, moments: list[float]) -> int:
    """Kill the run after each of these seconds; how many of the kills hit a live process."""
    hits = 0
    words = ["train", "--quiet", *CONFIG, f"run.dir={path}"]
    for moment in moments:
        process = start(*words)
        try:
            process.wait(timeout=moment)
        except subprocess.TimeoutExpired:
            hits += 1
        process.send_signal(signal.SIGKILL)
        _, error = process.communicate()
        assert process.returncode in (0, -signal.SIGKILL), error.decode()
        if path.exists():
            words = ["resume", str(path), "--quiet"]
    finish(*words)
    return hits


def test_killed_run_comes_to_the_same_bytes(
    tmp_path: Path, undisturbed: tuple[Path, float]
) -> None:
    path, seconds = undisturbed
    draw = random.Random(1)
    moments = [draw.uniform(0.3, 0.9) * seconds for _ in range(2)]
    assert kill_and_resume(tmp_path / "run", moments) >= 1
    assert_same(tmp_path / "run", path)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", range(3, 8))
def test_killed_at_many_instants(
    tmp_path: Path, undisturbed: tuple[Path, float], seed: int
) -> None:
    path, seconds = undisturbed
    draw = random.Random(seed)
    assert (
        kill_and_resume(tmp_path / "run", [draw.uniform(0, seconds) for _ in range(20)]) >= 1
    )  # how many hit depends on the machine's load
    assert_same(tmp_path / "run", path)


@pytest.mark.slow
def test_one_worker_comes_to_the_same_bytes(
    tmp_path: Path, undisturbed: tuple[Path, float]
) -> None:
    finish("train", "--quiet", *CONFIG, "engine.workers=1", f"run.dir={tmp_path / 'run'}")
    path, _ = undisturbed
    model, clients = "model.safetensors", "clients.jsonl"
    assert (tmp_path / "run" / model).read_bytes() == (path / model).read_bytes()
    assert (tmp_path / "run" / clients).read_bytes() == (path / clients).read_bytes()
    assert without_time(tmp_path / "run/metrics.jsonl") == without_time(path / "metrics.jsonl")


@pytest.mark.slow
def test_ctrl_c_saves_and_says_how_to_resume(
    tmp_path: Path, undisturbed: tuple[Path, float]
) -> None:
    path, _ = undisturbed
    run = tmp_path / "run"
    process = subprocess.Popen(
        [*FEDRUN, "train", *CONFIG, "checkpoint.every=0", f"run.dir={run}"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("round 20/"):
            break
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: the workers get it too
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"fedrun resume {run}" in error
    assert "Traceback" not in error
    manifest = json.loads((run / "manifest.json").read_text())
    assert manifest["status"] == "interrupted"
    assert int((run / "checkpoints" / "latest").read_text().removeprefix("round_")) >= 20
    finish("resume", str(run), "--quiet", "checkpoint.every=7")
    assert (run / "model.safetensors").read_bytes() == (path / "model.safetensors").read_bytes()
