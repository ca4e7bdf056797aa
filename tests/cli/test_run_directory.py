"""The contract of the run directory: what stands in it, what finds it, what goes on with it."""

import json
import math
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from safetensors.numpy import load_file

from fedrun.experiment.ledger import broken_line

ROOT = Path(__file__).resolve().parents[2]
METRICS = {
    "round": int, "clients/ok": int, "clients/rejected": int,
    "train/loss": float, "train/accuracy": float, "train/examples": int,
    "test/loss": float, "test/accuracy": float, "client/accuracy_mean": float,
    "client/accuracy_worst10": float, "client/accuracy_best10": float, "client/accuracy_sd": float,
    "comm/up_bytes": int, "comm/down_bytes": int,
    "time/train_seconds": float, "time/round_seconds": float,
}  # fmt: skip
CLIENT = {
    "round": int, "client": int, "examples": int, "steps": int, "train/loss": float,
    "update_norm": float, "clipped": bool, "up_bytes": int, "down_bytes": int,
    "sim_seconds": float, "status": str,
}  # fmt: skip
PLUGIN = """
from dataclasses import replace
import torch
from fedrun.algorithm.fedavg import fedavg

def spoiled(server, *, examples: int):
    plain = fedavg(server)

    def client_update(clients, message):
        reply = plain.client_update(clients, message)
        factor = torch.where(clients.examples == examples, torch.nan, 1.0)

        def spoil(leaf):
            return leaf * factor.view(-1, *[1] * (leaf.ndim - 1))

        return replace(reply, update=reply.update.map(spoil))

    return replace(plain, client_update=client_update)
"""


def strict(text: str) -> dict:
    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is no JSON")

    return json.loads(text, parse_constant=refuse)


def lines(run: Path, name: str = "metrics.jsonl") -> list[dict]:
    return [strict(line) for line in (run / name).read_text().splitlines()]


@pytest.fixture(scope="module")
def run(fedrun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fedrun.small(tmp_path_factory.mktemp("contract") / "run", "clients.per_round=3")


def test_every_file_is_there(run: Path) -> None:
    expected = {
        ".lock", "config.yaml", "manifest.json", "metrics.jsonl", "clients.jsonl", "partition.npz",
        "partition.json", "checkpoints", "model.safetensors", "summary.json", "audit.jsonl",
    }  # fmt: skip
    assert {file.name for file in run.iterdir()} == expected
    found = sorted(file.name for file in (run / "checkpoints").iterdir())
    assert found == ["latest", "round_000002", "round_000003"]
    assert (run / "checkpoints/latest").read_text() == "round_000003\n"
    inside = {file.name for file in (run / "checkpoints/round_000003").iterdir()}
    assert inside == {"state.safetensors", "checkpoint.json"}


def test_metrics_hold_one_object_a_round(run: Path) -> None:
    rounds = lines(run)
    assert [line["round"] for line in rounds] == [1, 2, 3]
    for line in rounds:
        assert {key: type(value) for key, value in line.items()} == METRICS
        assert all(math.isfinite(value) for value in line.values())
    up = [line["comm/up_bytes"] for line in rounds]
    assert up == [up[0], 2 * up[0], 3 * up[0]]
    # 13 features, 3 classes, weights and biases, 4 bytes each, from 3 clients
    assert up[0] == 3 * (13 * 3 + 3) * 4


def test_clients_hold_one_object_per_client_and_round(run: Path) -> None:
    rows = lines(run, "clients.jsonl")
    assert [row["round"] for row in rows] == [1, 1, 1, 2, 2, 2, 3, 3, 3]
    sizes = np.diff(np.load(run / "partition.npz")["train_offsets"])
    for row in rows:
        assert {key: type(value) for key, value in row.items()} == CLIENT
        assert row["status"] == "ok"
        assert row["examples"] == sizes[row["client"]]
        assert row["steps"] == -(-row["examples"] // 10)  # batches of 10, one epoch
    for number in (1, 2, 3):
        cohort = [row["client"] for row in rows if row["round"] == number]
        assert cohort == sorted(set(cohort))


def test_manifest(run: Path) -> None:
    facts = strict((run / "manifest.json").read_text())
    assert facts["schema"] == 1
    assert facts["status"] == "finished"
    assert facts["command"].startswith("fedrun train data=wine ")
    assert facts["versions"].keys() == {"fedrun", "python", "torch", "numpy"}
    assert facts["parameters"] == 42
    assert facts["device"] == "cpu"
    assert facts["threads_per_worker"] == 1
    assert facts["git"].keys() in ({"commit", "dirty"}, set())
    for key in ("config", "data", "partition"):
        assert re.fullmatch("[0-9a-f]{64}", facts[key]["sha256"])
    assert facts["started"] <= facts["ended"]
    assert not any(secret in json.dumps(facts) for secret in (str(Path.home()) + "/.", "PATH"))


def test_partition_files(run: Path) -> None:
    arrays = np.load(run / "partition.npz", allow_pickle=False)
    facts = strict((run / "partition.json").read_text())
    manifest = strict((run / "manifest.json").read_text())
    assert facts["sha256"] == manifest["partition"]["sha256"]
    assert facts["rule"] == "dirichlet/per_class@1"
    assert facts["seed"] == 0
    assert facts["clients"] == 5 == len(facts["train"]) == len(facts["test"])
    assert sorted(arrays["train_rows"]) == list(range(142))
    assert [sum(row) for row in facts["train"]] == np.diff(arrays["train_offsets"]).tolist()


def test_summary_and_ledger(run: Path) -> None:
    summary = strict((run / "summary.json").read_text())
    rounds = lines(run)
    assert summary["rounds"] == 3
    assert summary["stopped"] == "all rounds done"
    for name, value in summary["final"].items():
        assert value == rounds[-1][name]
    best = summary["best"]["test/accuracy"]
    assert best["value"] == max(line["test/accuracy"] for line in rounds)
    assert rounds[best["round"] - 1]["test/accuracy"] == best["value"]
    assert summary["best"]["test/loss"]["value"] == min(line["test/loss"] for line in rounds)
    assert summary["measured"]
    assert summary["time/seconds"] == pytest.approx(sum(r["time/round_seconds"] for r in rounds))
    ledger = (run / "audit.jsonl").read_text().splitlines()
    assert broken_line(ledger) is None
    assert [strict(line)["event"] for line in ledger] == ["start", *["round"] * 3, "end"]
    assert strict(ledger[-1])["hash"] == strict((run / "manifest.json").read_text())["audit"]


def test_model_is_plain_tensors(run: Path) -> None:
    shapes = {tuple(tensor.shape) for tensor in load_file(run / "model.safetensors").values()}
    assert shapes == {(3, 13), (3,)}


def test_the_same_command_finds_its_run_and_trains_nothing(fedrun, folder: Path) -> None:
    words = "train data=wine model=logistic rounds=2"
    path = Path(fedrun(f"{words} -q").out.strip())
    assert re.fullmatch(r"runs/train/wine_logistic_rounds2-[0-9a-f]{8}", str(path))
    before = {file: file.stat().st_mtime_ns for file in path.rglob("*") if file.name != ".lock"}
    answer = fedrun(words)
    assert "finished already; nothing was trained again" in answer.out
    assert str(path) in answer.out
    assert fedrun(["resume", "-q", str(path)]).out == f"{path}\n"
    after = {file: file.stat().st_mtime_ns for file in path.rglob("*") if file.name != ".lock"}
    assert before == after
    other = fedrun(f"{words} -q run.root=elsewhere name=mine").out.strip()
    assert other == f"elsewhere/mine/{path.name}"
    assert fedrun(f"{words} -q seed=1").out.strip()[-8:] != path.name[-8:]


def test_a_saved_config_repeats_the_run(fedrun, run: Path, folder: Path, assert_same_bytes) -> None:
    answer = fedrun(
        ["train", "-q", f"config={run / 'config.yaml'}", "run.dir=null", "run.root=new"]
    )
    again = Path(answer.out.strip())
    assert again.parts[:2] == ("new", "config")
    assert_same_bytes(again, run)


def interrupted_at(fedrun, monkeypatch: pytest.MonkeyPatch, path: Path, number: int, *more) -> str:
    """Train the small federation until Ctrl-C comes in this round; what stderr says."""
    from fedrun.cli import progress

    def stop(self: object, event: object) -> None:
        if event.state.round == number:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(progress.Watching, "show", stop)
        words = ["train", "-q", "data=wine", "model=logistic", "clients.count=5", "rounds=4", *more]
        return fedrun([*words, f"run.dir={path}"], 130).err


def test_unfinished_runs_are_gone_on_with_when_asked_to(
    fedrun, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, assert_same_bytes, manifest
) -> None:
    path = tmp_path / "a b"
    said = interrupted_at(fedrun, monkeypatch, path, 2)  # with --quiet
    assert said.endswith(
        f"Saved after round 2. Go on with: fedrun resume '{path}'\nfedrun: interrupted\n"
    )
    assert manifest(path)["status"] == "interrupted"
    assert (path / "checkpoints/latest").read_text() == "round_000002\n"
    assert not (path / "model.safetensors").exists()
    words = ["train", "-q", "data=wine", "model=logistic", "clients.count=5", "rounds=4",
             f"run.dir={path}"]  # fmt: skip
    answer = fedrun(words, 2)
    assert f"fedrun resume '{path}'" in answer.err
    assert "unfinished (interrupted)" in answer.err
    assert len(lines(path)) == 2
    fedrun([*words, "--resume"])
    assert manifest(path)["status"] == "finished"
    assert manifest(path)["resumed"] == 1
    other = fedrun.small(tmp_path / "straight", "rounds=4", "checkpoint.every=null")
    assert_same_bytes(path, other)


def test_a_folder_of_another_config_is_refused(fedrun, run: Path) -> None:
    answer = fedrun(["train", "data=wine", f"run.dir={run}"], 2)
    assert "holds a run of another config" in answer.err
    assert len(lines(run)) == 3


@pytest.mark.parametrize(
    "more",
    [[], ["evaluate.every=0"], ["evaluate.every=4"], ["algorithm=scaffold", "clients.per_round=2"]],
)
def test_a_longer_run_is_the_straight_one(fedrun, tmp_path: Path, assert_same_bytes, more) -> None:
    straight = fedrun.small(tmp_path / "straight", *more, "rounds=6")
    longer = fedrun.small(tmp_path / "longer", *more, "rounds=2")
    fedrun(["resume", "-q", str(longer), "rounds=6"])
    assert_same_bytes(longer, straight, ledger=False)
    events = [line["event"] for line in lines(longer, "audit.jsonl")]
    assert events == ["start", "round", "round", "config", *["round"] * 4, "end"]
    assert broken_line((longer / "audit.jsonl").read_text().splitlines()) is None
    assert yaml.safe_load((longer / "config.yaml").read_text())["rounds"] == 6
    assert strict((longer / "summary.json").read_text())["rounds"] == 6


def test_a_longer_run_killed_on_its_way_keeps_the_ledger_whole(
    fedrun, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, assert_same_bytes
) -> None:
    first = fedrun.small(tmp_path / "first", "rounds=2")
    second = shutil.copytree(first, tmp_path / "second")
    fedrun(["resume", "-q", str(first), "rounds=4"])

    def die(self: object, state: object, keep: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("fedrun.experiment.directory.RunDirectory.checkpoint", die)
        answer = fedrun(["resume", "-q", str(second), "rounds=4"], 1)
    assert "No space left on device" in answer.err
    assert f"fedrun resume {second}" in answer.err
    fedrun(["resume", "-q", str(second)])
    assert_same_bytes(second, first)


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("seed=1", "another seed"),
        ("local.lr=0.5", "another local.lr (0.1 before, 0.5 now)"),
        ("name=other", "another name"),
        ("run.root=other", "another run.root"),
        ("rounds=1", "behind the last checkpoint"),
        ("rouns=5", "did you mean 'rounds'?"),
        ("data=digits", "another data"),
    ],
)
def test_what_may_not_change_on_the_way(fedrun, run: Path, word: str, told: str) -> None:
    before = (run / "manifest.json").read_bytes()
    assert told in fedrun(["resume", str(run), word], 2).err
    assert (run / "manifest.json").read_bytes() == before


def test_a_schedule_that_knows_its_end(fedrun, tmp_path: Path) -> None:
    path = fedrun.small(tmp_path / "run", "local.schedule=cosine")
    assert "local.schedule=cosine" in fedrun(["resume", str(path), "rounds=9"], 2).err
    assert fedrun(["resume", "-q", str(path)]).out == f"{path}\n"


def test_one_process_at_a_time(fedrun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fedrun.experiment.lock import take_lock

    path = tmp_path / "run"
    interrupted_at(fedrun, monkeypatch, path, 2)
    with take_lock(path):
        before = {file: file.read_bytes() for file in path.glob("*.json*")}
        assert "is in use" in fedrun(["resume", str(path)], 2).err
        small = "data=wine model=logistic clients.count=5 rounds=4"
        assert "is in use" in fedrun(f"train {small} run.dir={path}", 2).err
        assert {file: file.read_bytes() for file in path.glob("*.json*")} == before
    fedrun(["resume", "-q", str(path)])


@pytest.mark.parametrize(
    ("goal", "reason", "rounds"),
    [
        (["stop.metric=test/accuracy", "stop.value=0.1"], "test/accuracy reached 0.1", 1),
        (["stop.metric=test/loss", "stop.value=100"], "test/loss reached 100", 1),
        (["stop.metric=train/loss", "stop.value=100", "evaluate.every=0"],
         "train/loss reached 100", 1),
        (["stop.metric=test/accuracy", "stop.patience=2", "local.lr=1e-9"],
         "test/accuracy has not improved in 2 measurements", 3),
    ],
)  # fmt: skip
def test_early_stopping(fedrun, tmp_path: Path, goal, reason: str, rounds: int) -> None:
    path = fedrun.small(tmp_path / "run", "rounds=9", *goal)
    summary = strict((path / "summary.json").read_text())
    assert (summary["stopped"], summary["rounds"], len(lines(path))) == (reason, rounds, rounds)
    assert "test/accuracy" in summary["final"]
    fedrun(["resume", "-q", str(path), "rounds=12"])  # the goal is reached still
    assert strict((path / "summary.json").read_text())["stopped"] == reason
    assert len(lines(path)) == rounds


@pytest.mark.parametrize(("every", "due"), [(0, [7]), (3, [3, 6, 7]), (1, [1, 2, 3, 4, 5, 6, 7])])
def test_evaluation_in_the_rounds_it_is_due(fedrun, tmp_path: Path, every: int, due) -> None:
    path = fedrun.small(tmp_path / "run", "rounds=7", f"evaluate.every={every}")
    for line in lines(path):
        measured = {key for key in line if key.startswith(("test/", "client/"))}
        full = {key for key in METRICS if key.startswith(("test/", "client/"))}
        assert measured == (full if line["round"] in due else set())


def test_no_rounds(fedrun, tmp_path: Path) -> None:
    path = fedrun.small(tmp_path / "run", "rounds=0")
    assert lines(path) == []
    summary = strict((path / "summary.json").read_text())
    assert 0 <= summary["final"]["test/accuracy"] <= 1
    fedrun(["evaluate", str(path)])
    fedrun(["train", f"config={path / 'config.yaml'}"])
    fedrun(["resume", "-q", str(path), "rounds=3"])
    assert len(lines(path)) == 3


@pytest.fixture
def plugin(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (folder / "plugin.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(str(folder))
    sys.modules.pop("plugin", None)
    return folder


@pytest.mark.parametrize("engine", ["eager", "stack"])
def test_a_client_that_diverges_is_rejected_and_the_round_goes_on(
    fedrun, run: Path, plugin: Path, engine: str
) -> None:
    sizes = np.diff(np.load(run / "partition.npz")["train_offsets"]).tolist()
    bad = sizes.index(max(sizes))
    words = ["algorithm=plugin:spoiled", f"algorithm.examples={max(sizes)}", f"engine={engine}"]
    path = fedrun.small(plugin / "run", *words)
    rows = lines(path, "clients.jsonl")
    assert [row["client"] for row in rows if row["status"] == "rejected"] == [bad] * 3
    for row in rows:
        assert ("update_norm" in row) is (row["client"] != bad)  # there is no such number
        assert None not in row.values()
    rounds = [line for line in lines(path, "audit.jsonl") if line["event"] == "round"]
    assert [line["rejected"] for line in rounds] == [[bad]] * 3
    assert len(lines(path)) == 3


def test_all_clients_diverge(fedrun, tmp_path: Path, manifest) -> None:
    path = tmp_path / "run"
    fedrun.small(path, "local.lr=1e38", "local.epochs=3", code=1)
    assert manifest(path)["status"] == "failed"
    assert "round 1: no client's update is finite" in manifest(path)["error"]


def test_the_model_diverges_late(fedrun, tmp_path: Path, manifest) -> None:
    path = tmp_path / "run"
    words = ["data=inline", "data.x=[[1],[2]]", "data.y=[1,2]", "clients.count=2", "partition=iid",
             "model=logistic", "local.batch_size=0", "local.lr=1", "local.epochs=9", "rounds=99",
             "checkpoint.every=1"]  # fmt: skip
    answer = fedrun(["train", *words, f"run.dir={path}"], 1)
    facts = manifest(path)
    assert facts["status"] == "failed"
    number = int(re.search(r"round (\d+)", answer.err)[1])
    assert number > 1
    assert f"round {number}:" in facts["error"]
    assert answer.err.count("\n") <= 2
    assert (path / "checkpoints/latest").read_text() == f"round_{number - 1:06d}\n"
    assert not (path / "model.safetensors").exists()
    assert [line["round"] for line in lines(path)] == list(range(1, number))
    assert "unfinished (failed)" in fedrun(["train", *words, f"run.dir={path}"], 2).err


@pytest.mark.slow
def test_two_processes_start_the_same_run(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "fedrun", "train", "-q", "data=wine", "rounds=200"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    both = [
        subprocess.Popen(words, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    errors = [process.communicate(timeout=120)[1] for process in both]
    codes = sorted(process.returncode for process in both)
    assert codes[0] == 0, errors
    assert codes[1] in (0, 2), errors
    assert "Traceback" not in "".join(errors)


def test_the_command_that_began_a_longer_run_still_finds_it(fedrun, tmp_path: Path) -> None:
    path = fedrun.small(tmp_path / "run")
    fedrun(["resume", "-q", str(path), "rounds=5"])
    fedrun(["resume", "-q", str(path), "rounds=6"])
    before = (path / "metrics.jsonl").read_bytes()
    assert fedrun.small(path) == path
    assert (path / "metrics.jsonl").read_bytes() == before


def test_a_run_that_stopped_goes_on_under_another_goal(fedrun, tmp_path: Path) -> None:
    goal = ["stop.metric=test/accuracy", "stop.value=0.01"]
    path = fedrun.small(tmp_path / "run", *goal)
    assert len(lines(path)) == 1
    fedrun(["resume", "-q", str(path), "stop.metric=null", "stop.value=null"])
    assert len(lines(path)) == 3


def test_a_saved_config_repeats_the_run_elsewhere(
    fedrun, tmp_path: Path, assert_same_bytes
) -> None:
    path = fedrun.small(tmp_path / "run")
    other = fedrun(["train", "-q", f"config={path / 'config.yaml'}"]).out.strip()
    assert Path(other).resolve() != path
    assert_same_bytes(path, Path(other))


@pytest.mark.slow
def test_a_home_folder_is_understood(fedrun, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    fedrun(["train", "-q", "data=wine", "model=logistic", "rounds=1", "run.dir='~/run'"])
    assert (tmp_path / "run" / "model.safetensors").exists()


def test_evaluate_scores_clients_own_models(fedrun, tmp_path):
    small = ["data=wine", "clients.count=5", "--quiet", f"run.root={tmp_path}"]
    run = fedrun(["train", *small, "rounds=2", "algorithm=ditto", "clients.unseen=0.2"]).out.strip()
    last = json.loads((Path(run) / "metrics.jsonl").read_text().splitlines()[-1])
    shown = fedrun(["evaluate", run]).out
    for name in ("client/accuracy_mean", "personal/accuracy_mean", "unseen/accuracy"):
        assert re.search(rf"{name} +{last[name]:.4f}\n", shown)
    assert "Confusion matrix" in shown
    alone = fedrun(["train", *small, "rounds=1", "algorithm=local_only"]).out.strip()
    shown = fedrun(["evaluate", alone]).out
    assert "Confusion matrix" not in shown, "there is no global model"
    assert "personal/accuracy_mean" in shown
