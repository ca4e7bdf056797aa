"""What a folder of runs holds, and what may be deleted of it: nothing else is ever touched."""

import hashlib
import json
import os
import time
from pathlib import Path

import pytest

from fedrun.core.option import ConfigError
from fedrun.experiment.lock import take_lock
from fedrun.report.runs import list_runs, size_of
from fedrun.report.runs_prune import delete, plan


def content(folder: Path) -> dict[str, str]:
    """Every file, folder and link below, with a hash of what it holds."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            found[name] = f"-> {path.readlink()}"
        elif path.is_file():
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
        else:
            found[name] = "folder"
    return found


def checkpoints(run: Path, *rounds: int) -> None:
    for at in rounds:
        place = run / "checkpoints" / f"round_{at:06d}"
        place.mkdir(parents=True)
        (place / "state.safetensors").write_bytes(b"x" * 1000)
        (place / "checkpoint.json").write_text("{}")
    (run / "checkpoints" / "latest").write_text(f"round_{max(rounds):06d}\n")


def finish(run: Path, best: float = 0.6) -> Path:
    (run / "model.safetensors").write_bytes(b"m" * 500)
    figures = {"test/accuracy": {"value": best, "round": 2}}
    (run / "summary.json").write_text(json.dumps({"rounds": 2, "best": figures}))
    return run


@pytest.fixture
def folder(tmp_path: Path, made_run) -> Path:
    """A run of each kind, and things beside them that are nobody's business."""
    runs = tmp_path / "runs"
    finish(made_run(runs / "x" / "done", [0.5, 0.6]))
    checkpoints(runs / "x" / "done", 1, 2)
    made_run(runs / "x" / "dead", [0.7], status="running", config={"rounds": 9})
    made_run(runs / "x" / "dead_saved", [0.7, 0.8], status="running", config={"rounds": 9})
    checkpoints(runs / "x" / "dead_saved", 1, 2)
    made_run(runs / "x" / "failed", [], status="failed", config={"rounds": 9},
             manifest={"error": "RunError: the model is not finite"})  # fmt: skip
    made_run(runs / "x" / "stopped", [0.4], status="interrupted", config={"rounds": 9})
    (runs / "x" / ".new_one.new").mkdir()
    (runs / "x" / ".new_one.new" / ".lock").touch()
    (runs / "x" / ".new_one.new" / "config.yaml").write_text("rounds: 1\n")
    (runs / "x" / "done" / ".summary.json.part").write_text("half")
    (runs / "notes.txt").write_text("mine")
    (runs / "reproduce").mkdir()
    (runs / "reproduce" / "fedavg.json").write_text("{}")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "precious").write_text("precious")
    return runs


def test_every_kind_is_told(folder: Path):
    found = {run.path.name: run for run in list_runs(folder)}
    assert {name: run.status for name, run in found.items()} == {
        "done": "finished", "dead": "dead", "dead_saved": "dead", "failed": "failed",
        "stopped": "interrupted",
    }  # fmt: skip
    done, dead, failed = found["done"], found["dead"], found["failed"]
    assert (done.round, done.rounds, done.metric, done.best) == (2, 2, "test/accuracy", 0.6)
    assert (dead.round, dead.rounds, dead.best) == (1, 9, 0.7)
    assert (failed.round, failed.metric, failed.best) == (0, None, None)
    assert failed.error == "RunError: the model is not finite"


def test_a_lock_tells_running_from_dead(folder: Path):
    with take_lock(folder / "x" / "dead"):
        found = {run.path.name: run.status for run in list_runs(folder)}
        assert (found["dead"], found["dead_saved"]) == ("running", "dead")
    assert {run.path.name: run.status for run in list_runs(folder)}["dead"] == "dead"


def test_looking_changes_nothing(folder: Path):
    (folder / "x" / "dead" / ".lock").unlink()  # a copy, say: none must appear
    before = content(folder)
    list_runs(folder)
    list_runs(folder, "test/loss")
    plan(folder)
    plan(folder, models=True)
    assert content(folder) == before


def test_age_and_size(folder: Path, made_run):
    run = folder / "x" / "stopped"
    for name in ("metrics.jsonl", "manifest.json"):
        os.utime(run / name, (time.time() - 7200,) * 2)
    os.utime(run / "manifest.json", (time.time() - 3600,) * 2)
    found = {run.path.name: run for run in list_runs(folder)}
    assert found["stopped"].age == pytest.approx(3600, abs=60)
    ended = {"ended": time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(time.time() - 86400))}
    made_run(folder / "x" / "yesterday", [0.5], manifest=ended)
    finish(folder / "x" / "yesterday")
    found = {run.path.name: run for run in list_runs(folder)}
    assert found["yesterday"].age == pytest.approx(86400, abs=60)
    assert next(iter(found)) == "yesterday"  # the oldest first
    files = [path for path in run.rglob("*") if path.is_file()]
    assert found["stopped"].size == sum(path.stat().st_size for path in files)


def test_another_metric(folder: Path):
    found = {run.path.name: run for run in list_runs(folder, "test/loss")}
    assert found["done"].best == pytest.approx(0.4)
    assert found["dead_saved"].best == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("name", "text"),
    [("manifest.json", "{"), ("config.yaml", "rounds: [1"), ("config.yaml", "seed: 1\n"),
     ("metrics.jsonl", "{}\n"), ("manifest.json", '{"status": "lost"}')],
)  # fmt: skip
def test_a_damaged_run_is_shown_as_one_and_left_alone(folder: Path, name: str, text: str):
    (folder / "x" / "dead" / name).write_text(text)
    found = {run.path.name: run for run in list_runs(folder)}
    assert found["dead"].status == "damaged"
    assert found["dead"].error
    wastes = [waste.path.name for waste in plan(folder).wastes]
    assert ("dead" in wastes) == (name != "manifest.json")


def test_no_folder(tmp_path: Path):
    for place in (tmp_path / "none", tmp_path / "file"):
        (tmp_path / "file").touch()
        with pytest.raises(ConfigError):
            list_runs(place)
        with pytest.raises(ConfigError):
            plan(place)
    assert list_runs(tmp_path) == []


def test_a_plan_names_what_is_waste_and_how_much(folder: Path):
    found = plan(folder)
    x = folder / "x"
    assert {(waste.path, waste.why) for waste in found.wastes} == {
        (x / "dead", "dead, no checkpoint"),
        (x / "failed", "failed, no checkpoint"),
        (x / ".new_one.new", "half-made"),
        (x / "done" / "checkpoints" / "round_000001", "an older checkpoint of a finished run"),
        (x / "done" / ".summary.json.part", "half-written"),
    }
    assert found.size == sum(size_of(waste.path) for waste in found.wastes)
    assert found.kept == []


def test_deleting_takes_the_plan_and_nothing_else(folder: Path):
    whole = folder.parent
    before = content(whole)
    found = plan(folder)
    names = {waste.path.relative_to(whole).as_posix() for waste in found.wastes}
    done = delete(found)
    assert done.wastes == found.wastes
    after = content(whole)
    gone = before.keys() - after.keys()
    below = tuple(f"{name}/" for name in names)
    assert gone == {path for path in before if path in names or path.startswith(below)}
    assert after == {path: before[path] for path in after}
    assert plan(folder).wastes == []


def test_models_go_only_when_asked_and_figures_stay(folder: Path):
    done = folder / "x" / "done"
    delete(plan(folder))
    assert (done / "model.safetensors").exists()
    assert (done / "checkpoints" / "round_000002").exists()
    names = [waste.path.name for waste in delete(plan(folder, models=True)).wastes]
    assert sorted(names) == ["checkpoints", "model.safetensors"]
    left = {path.name for path in done.iterdir()}
    assert left == {"config.yaml", "manifest.json", "metrics.jsonl", "summary.json", ".lock"}
    # Of the unfinished runs everything is kept.
    assert (folder / "x" / "dead_saved" / "checkpoints" / "round_000001").exists()


def test_a_run_in_use_is_left_alone(folder: Path):
    x = folder / "x"
    with take_lock(x / "dead"), take_lock(x / ".new_one.new"), take_lock(x / "done"):
        assert [waste.path.name for waste in plan(folder).wastes] == ["failed"]
    found = plan(folder)
    before = content(folder)
    with take_lock(x / "dead"):  # begun again between the look and the deed
        done = delete(found)
        assert (x / "dead" / "manifest.json").exists()
    assert done.kept == [f"{x / 'dead'}: in use by now"]
    assert {k: v for k, v in content(folder).items() if k.startswith("x/dead")} == {
        k: v for k, v in before.items() if k.startswith("x/dead")
    }


def test_a_run_that_finished_between_the_look_and_the_deed_stays(folder: Path):
    found = plan(folder)
    file = folder / "x" / "dead" / "manifest.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "status": "finished"}))
    done = delete(found)
    assert file.exists()
    assert done.kept == [f"{folder / 'x' / 'dead'}: no waste any more"]


def test_a_checkpoint_that_came_between_the_look_and_the_deed_stays(folder: Path):
    found = plan(folder)
    checkpoints(folder / "x" / "dead", 1)
    delete(found)
    assert (folder / "x" / "dead" / "checkpoints" / "round_000001").exists()


def test_links_are_not_followed(folder: Path):
    outside = folder.parent / "outside"
    x = folder / "x"
    (x / "link").symlink_to(outside)
    (outside / "half").mkdir()
    (outside / "half" / "config.yaml").write_text("rounds: 1\n")
    (x / ".linked.new").symlink_to(outside / "half")
    (x / "failed" / "checkpoints").symlink_to(outside)
    (x / "done" / "checkpoints" / "round_000000").symlink_to(outside)
    (x / "done" / ".link.part").symlink_to(outside / "precious")
    before = content(outside)
    delete(plan(folder, models=True))
    assert content(outside) == before
    assert (x / "link").is_symlink()
    assert (x / ".linked.new").is_symlink()
    assert (x / "failed" / "checkpoints").is_symlink()  # which may lead to a checkpoint


def test_a_folder_with_files_of_the_users_own_stays(folder: Path):
    x = folder / "x"
    (x / "dead" / "notes.txt").write_text("mine")
    (x / ".new_one.new" / "thesis.tex").write_text("mine")
    before = content(x / "dead")
    found = plan(folder)
    assert sorted(found.kept) == sorted(
        [f"{x / '.new_one.new'}: half-made, but holds thesis.tex",
         f"{x / 'dead'}: dead, no checkpoint, but holds notes.txt"]
    )  # fmt: skip
    delete(found)
    assert content(x / "dead") == before
    assert (x / ".new_one.new" / "thesis.tex").exists()


@pytest.mark.parametrize("name", ["privacy.json", "summary.json", "model.safetensors"])
def test_a_spent_budget_and_an_old_result_are_kept(folder: Path, name: str):
    run = folder / "x" / "dead"
    (run / name).write_text("{}")
    found = plan(folder)
    assert f"{run}: dead, no checkpoint, but holds {name}" in found.kept
    delete(found)
    assert (run / name).exists()


def test_pruning_a_run_by_name_stays_inside_it(folder: Path):
    found = plan(folder / "x" / "done")
    assert {waste.run for waste in found.wastes} == {folder / "x" / "done"}


def test_a_hundred_runs_are_listed_at_once(tmp_path: Path, made_run):
    for at in range(100):
        made_run(tmp_path / str(at), [0.5 + at / 1000] * 200, status="running", seed=at)
    began = time.perf_counter()
    assert len(list_runs(tmp_path)) == 100
    assert time.perf_counter() - began < 5
