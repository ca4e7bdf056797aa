"""What every tracker may count on, and what no tracker can do to a run."""

import json
import re
from pathlib import Path

import pytest

from fedrun.core.option import ConfigError
from fedrun.core.tracker import flat, library
from fedrun.experiment import run as runs
from fedrun.experiment.audit import verify
from fedrun.experiment.choices import choices, groups, node_of
from fedrun.experiment.compose import compose
from fedrun.experiment.config_text import config_hash
from fedrun.experiment.directory import read_manifest
from fedrun.experiment.tracked import PLACES, ends, hyperparameters
from fedrun.tracker import none as tracker_none

OWN = "tracker=own_tracker:spy"


def logged(spy) -> dict[int, dict[str, float]]:
    steps = [call[1] for call in spy.calls if call[0] == "log"]
    assert len(steps) == len(set(steps)), "a round was told twice"
    return {call[1]: call[2] for call in spy.calls if call[0] == "log"}


def test_a_tracker_is_told_exactly_what_metrics_jsonl_says(spy, train, rows) -> None:
    path = train(OWN)
    assert logged(spy) == rows(path)
    assert [call[0] for call in spy.calls] == ["start", "log", "log", "log", "artifact", "finish"]
    assert spy.calls[-2] == ("artifact", path / "model.safetensors")
    assert spy.calls[-1] == ("finish", "finished")


def test_a_round_is_told_once_its_line_is_written(spy, train) -> None:
    lines = []
    spy.seen = lambda step: lines.append(len(Path("run/metrics.jsonl").read_bytes().splitlines()))
    train(OWN, "run.dir=run")
    assert lines == [1, 2, 3]


def test_what_a_tracker_knows_of_the_run(spy, train) -> None:
    path = train(OWN, "algorithm=fedprox", "algorithm.mu=0.5", "run.root=kept")
    run = spy.calls[0][1]
    assert (run.folder, run.root, run.group) == (path, Path("kept"), "train")
    assert run.name == f"train/{path.name}"
    assert run.config["algorithm"]["name"] == "fedprox"
    assert flat(run.config)["algorithm.mu"] == 0.5
    assert run.facts["config_sha256"] == read_manifest(path)["config"]["sha256"]
    assert run.facts["parameters"] == 42


def test_times_are_those_of_a_run_that_was_never_interrupted(spy, train, rows) -> None:
    path = train(OWN)
    at = [call[3] for call in spy.calls if call[0] == "log"]
    begun = spy.calls[0][1].started
    seconds = [row["time/round_seconds"] for row in rows(path).values()]
    assert at == pytest.approx([begun + sum(seconds[: n + 1]) for n in range(3)])
    assert ends(5.0, []) == [5.0]


def test_every_bit_is_the_same_without(spy, train, rows) -> None:
    with_one, without = train(OWN, "run.dir=a"), train("run.dir=b")
    for name in ("model.safetensors", "clients.jsonl", "audit.jsonl"):
        assert (with_one / name).read_bytes() == (without / name).read_bytes()
    untimed = [
        [{k: v for k, v in row.items() if not k.startswith("time/")} for row in rows(run).values()]
        for run in (with_one, without)
    ]
    assert untimed[0] == untimed[1]


@pytest.mark.parametrize(
    ("failing", "where", "rounds"),
    [("start", "at the start", 0), ("log", "in round 1", 0), (("log", (2,)), "in round 2", 1),
     ("artifact", "after round 3", 3), ("finish", "after round 3", 3)],
)  # fmt: skip
def test_one_that_fails_is_left_out_and_costs_nothing(
    spy, train, rows, capsys, failing, where: str, rounds: int
) -> None:
    spy.failing, spy.failure = failing, ValueError("the service\nis gone")
    path = train("tracker=[own_tracker:spy,own_tracker:other]")
    assert read_manifest(path)["status"] == "finished"
    assert len(rows(path)) == 3
    assert capsys.readouterr().err == (
        f"fedrun: tracker=own_tracker:spy failed {where} and is left out: "
        "ValueError: the service is gone\n"
    )
    assert list(logged(spy)) == list(range(1, rounds + 1))
    assert [call[1] for call in spy.calls if call[0] == "other"] == [1, 2, 3]


def test_one_that_fails_is_closed(spy, train) -> None:
    spy.failing, spy.failure = ("log", (2,)), OSError(28, "No space left on device")
    train(OWN)
    assert spy.calls[-1] == ("finish", "failed")


def test_an_interrupt_in_a_tracker_is_an_interrupt(spy, train, resume, rows) -> None:
    spy.failing, spy.failure = ("log", (2,)), KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        train(OWN, "run.dir=run")
    assert read_manifest(Path("run"))["status"] == "interrupted"
    assert spy.calls[-1] == ("finish", "interrupted")
    assert list(logged(spy)) == [1]
    spy.calls.clear()
    spy.failing = ""
    resume(Path("run"))
    assert logged(spy) == rows(Path("run"))


def test_a_round_that_an_interrupt_kept_back_is_told_at_the_end(spy, monkeypatch, rows) -> None:
    class Impatient(runs.Nobody):
        def round(self, event) -> None:
            if event.state.round == 2:
                raise KeyboardInterrupt

    words = ["data=wine", "model=logistic", "rounds=3", OWN, "run.dir=run"]
    with pytest.raises(KeyboardInterrupt):
        runs.train(compose("train", words), Impatient())
    assert logged(spy) == rows(Path("run"))
    assert len(rows(Path("run"))) == 2


def test_a_failed_run_ends_as_failed(spy, train) -> None:
    with pytest.raises(Exception, match=r"diverged|finite"):
        train(OWN, "data=diabetes", "partition=iid", "local.lr=1e30", "rounds=20")
    assert spy.calls[-1] == ("finish", "failed")
    assert "artifact" not in {call[0] for call in spy.calls}


def test_lost_rounds_are_not_told_and_the_history_begins_at_the_beginning(
    spy, train, resume, rows, tmp_path: Path
) -> None:
    path = train(OWN, "checkpoint.every=2", "rounds=4")
    manifest = json.loads((path / "manifest.json").read_text())
    for name in ("round_000004", "latest"):
        target = path / "checkpoints" / name
        target.unlink() if target.is_file() else [f.unlink() for f in target.iterdir()]
    (path / "checkpoints/round_000004").rmdir()
    (path / "checkpoints/latest").write_text("round_000002\n")
    (path / "manifest.json").write_text(json.dumps({**manifest, "status": "running"}))
    key = spy.calls[0][1].key
    spy.calls.clear()
    resume(path)
    assert spy.calls[0][1].key == key
    assert [row["round"] for row in spy.calls[0][1].history][:2] == [1, 2]
    assert logged(spy) == rows(path)


def test_rounds_that_a_tool_knows_are_not_told_again(spy, train, resume) -> None:
    path = train(OWN)
    spy.calls.clear()
    spy.known = 3
    resume(path, "rounds=5")
    assert list(logged(spy)) == [4, 5]


def test_a_finished_run_is_told_from_its_files(spy, train, rows, capsys) -> None:
    path = train()
    before = {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}
    assert train(OWN) == path
    assert logged(spy) == rows(path)
    assert spy.calls[-1] == ("finish", "finished")
    said = f"fedrun: {path} is finished: told own_tracker:spy of its 3 rounds\n"
    assert capsys.readouterr().err == said
    assert before == {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}
    spy.calls.clear()
    train()
    assert not spy.calls


def test_resuming_a_finished_run_tells_a_tracker_that_is_named(spy, train, resume, rows) -> None:
    path = train()
    resume(path, OWN)
    assert logged(spy) == rows(path)
    spy.calls.clear()
    resume(path)
    assert not spy.calls


def test_a_finished_run_that_cannot_be_locked_says_so(spy, train, capsys, monkeypatch) -> None:
    path = train()

    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("fedrun.experiment.tracking.take_lock", refuse)
    assert train(OWN) == path
    assert not spy.calls
    assert "no tracker was told of it: PermissionError" in capsys.readouterr().err


def test_a_finished_run_whose_figures_are_damaged_costs_no_exit_status(spy, train, capsys) -> None:
    path = train()
    (path / "metrics.jsonl").write_text("{")
    assert train(OWN) == path
    assert "no tracker was told of it" in capsys.readouterr().err
    assert spy.calls == []


def test_a_tracker_is_no_part_of_what_a_run_is(spy, train) -> None:
    plain, with_one = (compose("train", words) for words in ([], [OWN]))
    assert config_hash(plain.values) == config_hash(with_one.values)
    assert train() == train(OWN, "tracker.spy.colour=blue")


def test_the_tracker_may_change_when_a_run_goes_on(spy, train, resume, rows) -> None:
    path = train("rounds=2")
    assert not spy.calls
    path = resume(path, "rounds=3", OWN, "tracker.spy.colour=blue")
    assert spy.options["colour"] == "blue"
    assert logged(spy) == rows(path)
    assert "colour: blue" in (path / "config.yaml").read_text()
    assert all(check.holds for check in verify(path).checks)
    spy.calls.clear()
    resume(path, "rounds=4")
    assert logged(spy) == rows(path)
    assert spy.options["colour"] == "blue"


def test_going_on_unfinished_keeps_the_choice(spy, train, rows) -> None:
    spy.failing, spy.failure = ("log", (2,)), KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        train(OWN, "run.dir=run")
    spy.failing = ""
    spy.calls.clear()
    train("tracker=own_tracker:other", "run.dir=run", resume_unfinished=True)
    assert spy.calls == [("other", 1), ("other", 2), ("other", 3)]
    assert "own_tracker:other" in Path("run/config.yaml").read_text()
    assert all(check.holds for check in verify(Path("run")).checks)


def test_going_on_unfinished_takes_the_choice_of_a_config_file(spy, train, folder: Path) -> None:
    spy.failing, spy.failure = ("log", (2,)), KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        train(OWN, "run.dir=run")
    spy.failing = ""
    spy.calls.clear()
    train("run.dir=run", resume_unfinished=True)  # names none: those that it began with
    assert [call[0] for call in spy.calls][-1] == "finish"
    text = (folder / "run" / "config.yaml").read_text()
    other = re.sub(r"(?m)^tracker:\n(  .*\n)+", "tracker: own_tracker:other\n", text)
    Path("mine.yaml").write_text(other)
    manifest = json.loads((folder / "run" / "manifest.json").read_text())
    Path("run/manifest.json").write_text(json.dumps({**manifest, "status": "interrupted"}))
    spy.calls.clear()
    composed = compose("mine.yaml", ["run.dir=run"])
    runs.train(composed, runs.Nobody(), resume_unfinished=True)
    assert spy.calls == [("other", 1), ("other", 2), ("other", 3)]


def test_two_runs_of_one_config_have_two_keys(spy, train) -> None:
    train(OWN, "run.dir=a")
    train(OWN, "run.dir=b")
    assert len({call[1].key for call in spy.calls if call[0] == "start"}) == 2


def test_the_readmes_own_tracker_works(train, rows, folder: Path, monkeypatch) -> None:
    page = (Path(tracker_none.__file__).parent / "README.md").read_text()
    (folder / "readme_tracker.py").write_text(
        re.findall(r"```python\n(.*?)```", page, re.DOTALL)[0]
    )
    monkeypatch.syspath_prepend(str(folder))
    path = train("tracker=readme_tracker:lines", "tracker.lines.file=a.txt")
    accuracies = [row["test/accuracy"] for row in rows(path).values()]
    lines = [f"{step} {value}\n" for step, value in enumerate(accuracies, start=1)]
    assert (path / "a.txt").read_text() == "".join(lines)


@pytest.mark.slow
def test_a_private_run_tells_what_it_publishes(spy, train, rows) -> None:
    path = train(
        OWN, "privacy=central", "privacy.noise_multiplier=1", "clients.sampling=poisson",
        "clients.per_round=0.5", "rounds=2",
    )  # fmt: skip
    told = {
        number: {name: value for name, value in row.items() if not name.startswith("time/")}
        for number, row in rows(path).items()
    }
    assert logged(spy) == told
    assert {call[3] for call in spy.calls if call[0] == "log"} == {spy.calls[0][1].started}
    assert "privacy/epsilon" in logged(spy)[1]
    assert "train/loss" not in logged(spy)[1]


def test_places_and_data_in_a_config_are_not_told() -> None:
    words = ["data=inline", "data.x=[" + ",".join(["[1.25]"] * 400) + "]", "run.root=/home/me"]
    told = hyperparameters(compose("train", words).values)
    assert told.keys().isdisjoint({"run", "name", "tracker"})
    assert told["data"]["x"].startswith("3200 letters, SHA-256 ")
    assert "root" not in hyperparameters({"data": {"root": "/home/me", "name": "mnist"}})["data"]


def test_every_option_that_names_a_place_is_known() -> None:
    options = {key for group in groups() for choice in choices(group)
               for key in node_of(group, choice)}  # fmt: skip
    assert {key for key in options if key.endswith(("root", "path"))} == {*PLACES}


@pytest.mark.parametrize("name", [name for name in choices("tracker") if name != "none"])
def test_a_missing_library_is_told_before_anything_starts(name: str, train, monkeypatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, name, None)
    said = rf"tracker={name} needs an extra .*: pip install 'fedrun\[{name}\]'"
    with pytest.raises(ConfigError, match=said):
        train(f"tracker={name}")
    assert not Path("runs").exists()


def test_a_folder_of_the_librarys_name_is_not_the_library(folder, monkeypatch) -> None:
    (folder / "some_tool").mkdir()
    monkeypatch.syspath_prepend(str(folder))
    with pytest.raises(ConfigError, match="needs an extra"):
        library("some_tool")


def test_a_library_that_is_broken_says_why(folder, monkeypatch) -> None:
    (folder / "broken_tool.py").write_text("raise AttributeError('numpy has\\nno float')")
    monkeypatch.syspath_prepend(str(folder))
    with pytest.raises(ConfigError, match="cannot be imported: AttributeError: numpy has no float"):
        library("broken_tool")


def test_a_factory_must_make_a_tracker(spy, train) -> None:
    with pytest.raises(ConfigError, match=r"returns int, and a tracker must be a .*Tracker"):
        train("tracker=own_tracker:no_tracker")
