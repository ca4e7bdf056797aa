"""The benchmark as CI runs it, with its smallest workload, and what it makes of its figures."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

from bench import contestants, race, workloads  # noqa: E402
from bench.figures import compared, trained  # noqa: E402
from bench.processes import cpu_seconds, memory_bytes, tree  # noqa: E402
from bench.race import CrashError, Go  # noqa: E402


def bench(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, ROOT / "scripts" / "bench.py", *words],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip


@pytest.mark.slow
def test_the_short_form_reports_every_figure(tmp_path: Path) -> None:
    answer = bench(
        tmp_path, "--short", "--workload", "W3,startup", "--rounds", "2", "--json", "bench.json"
    )
    assert answer.returncode == 0, answer.stderr + answer.stdout
    assert "plain loop" in answer.stdout
    report = json.loads((tmp_path / "bench.json").read_text())
    assert report["command"].startswith("scripts/bench.py --short")
    assert report["machine"]["cores"] == os.cpu_count()
    assert {"fedrun", "torch", "python"} <= report["versions"].keys()
    assert max(report["peak_gflops"].values()) > 1
    assert report["crashed"] == {}
    w3 = report["workloads"]["W3"]
    assert w3["rounds"] == 2
    assert list(w3["contestants"]) == ["fedrun", "plain loop"]
    for name, line in w3["contestants"].items():
        assert 0 < line["cpu_seconds"]["min"] <= line["cpu_seconds"]["median"] < 10, name
        assert 0 < line["wall_seconds"]["median"] < 30
        assert 0 < line["share_of_peak"] < 1
        assert 50 < line["peak_memory_mib"] < 5000
        assert len(line["rounds"][0]) >= race.WARM_UP + 2
        assert "torch" in line["versions"]
    assert w3["contestants"]["fedrun"]["cpu_ratio"]["median"] == 1
    assert report["startup"]["import torch"]["wall_seconds"]["median"] > 0


@pytest.mark.slow
def test_a_crash_is_told(tmp_path: Path) -> None:
    answer = bench(
        tmp_path, "--workload", "W3", "--rounds", "1", "--repeats", "2", "--only", "pfl",
        "--peer", f"pfl={sys.executable}",
    )  # fmt: skip
    assert answer.returncode == 1
    assert "W3 pfl: run_pfl.py: exit status 1" in answer.stdout
    assert "ModuleNotFoundError" in answer.stdout


def test_contestants_take_turns_and_one_that_crashes_is_out() -> None:
    order: list[str] = []

    def attempt(name: str) -> Go:
        order.append(name)
        if order.count("bad") == 2:
            raise CrashError("it broke")
        return Go(1, 1, 0)

    attempts = {name: lambda name=name: attempt(name) for name in ("ours", "bad")}
    crashed: dict[str, str] = {}
    goes = race.interleaved("W1", attempts, 2, crashed, lambda _: None)
    assert order == ["ours", "bad", "ours", "bad"]
    assert crashed == {"W1 bad": "it broke"}
    assert {name: len(done) for name, done in goes.items()} == {"ours": 2}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--workload", "W9"], "W9: take W1,W2,W3,W4,startup"),
        (["--rounds", "0"], "0 is not a whole number of at least 1"),
        (["--only", "fedrun,me"], "--only me: here are fedrun, fedrun 2 workers"),
        (["--peer", "nobody=python"], "nobody=python: take NAME=PYTHON"),
    ],
)
def test_mistakes_are_told(tmp_path: Path, words: list[str], told: str) -> None:
    answer = bench(tmp_path, *words)
    assert answer.returncode == 2
    assert told in answer.stderr


def test_ratios_are_those_of_neighbours() -> None:
    """The machine is twice as slow in the second repeat: the ratio stays 3."""
    ours, theirs = [Go(1, 2, 0), Go(2, 4, 0)], [Go(3, 6, 0), Go(6, 12, 0)]
    figures = compared({"fedrun": ours, "peer": theirs}, "fedrun")
    assert figures["peer"]["cpu_ratio"]["repeats"] == [3, 3]
    assert figures["peer"]["wall_ratio"]["median"] == 3
    assert figures["peer"]["cpu_seconds"] == {
        "median": 4.5, "min": 3, "max": 6, "repeats": [3, 6]
    }  # fmt: skip


def test_share_of_peak() -> None:
    """10 examples x 2 x (3 x 600 - 600) operations in 24 us are 1 GFLOP/s, a tenth of 10."""
    w3 = workloads.WORKLOADS["W3"]
    assert w3.flops == 2400
    figures = trained({"fedrun": [Go(24e-6, 1, 2**20)]}, "fedrun", w3, examples=10, peak=10)
    assert figures["fedrun"]["share_of_peak"] == pytest.approx(0.1)
    assert figures["fedrun"]["peak_memory_mib"] == 1


def test_operations_of_a_round_are_the_known_ones() -> None:
    """W1: 30,000 examples, 26.4 GFLOP; W2: 6,000 examples, 434 GFLOP."""
    assert round(30_000 * workloads.WORKLOADS["W1"].flops / 1e9, 1) == 26.4
    assert round(6_000 * workloads.WORKLOADS["W2"].flops / 1e9) == 434


@pytest.mark.parametrize("name", workloads.WORKLOADS)
def test_clients_hold_what_the_workload_says(name: str) -> None:
    facts, sizes = workloads.WORKLOADS[name], workloads.sizes(name)
    assert len(sizes) == facts.clients
    x, y = workloads.rows(name, 3, seed=0)
    assert x.shape == (3, *facts.shape)
    assert y.shape == ((3, *facts.shape) if facts.tokens else (3,))
    assert 0 <= y.min() <= y.max() < facts.classes
    if name == "W3":
        held = [len(y) for _, y in workloads.clients(name)]
        assert held == sizes.tolist()
        assert (min(held), max(held)) == (10, 1000)


def test_time_and_memory_of_a_process_tree() -> None:
    """A child that has a child which works: both are found, and its second is counted."""
    work = "import time\nwhile time.process_time() < 60: pass"
    child = subprocess.Popen([sys.executable, "-c", work])
    try:
        assert child.pid in tree(os.getpid())
        while cpu_seconds(child.pid) < 0.1:
            assert child.poll() is None
        assert memory_bytes(child.pid) > 2**20
    finally:
        child.kill()
        child.wait()
    assert cpu_seconds(child.pid) == 0


def test_who_is_missing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contestants, "find_spec", lambda name: name == "pfl")
    found, missing = contestants.peers({"fedjax": "/env/python"})
    assert [(c.name, c.python) for c in found] == [
        ("fedjax", "/env/python"), ("pfl", sys.executable)
    ]  # fmt: skip
    assert list(missing) == ["fedlab", "flwr"]


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no way to choose cores here")
def test_a_contestant_runs_on_the_cores_it_is_given(tmp_path: Path) -> None:
    ours = os.sched_getaffinity(0)
    script = tmp_path / "cores.py"
    script.write_text(
        "import json, os, sys\n"
        "result = json.load(open(sys.argv[1]))['result']\n"
        "json.dump({'cores': len(os.sched_getaffinity(0))}, open(result, 'w'))"
    )
    for cores in {1, len(ours)}:
        result, _ = race.watch(sys.executable, script, {}, cores)
        assert result == {"cores": cores}
    assert os.sched_getaffinity(0) == ours


def test_a_script_without_a_result_is_a_crash(tmp_path: Path) -> None:
    script = tmp_path / "silent.py"
    script.write_text("print('I did nothing')")
    with pytest.raises(CrashError, match="I did nothing"):
        race.watch(sys.executable, script, {}, cores=1)
