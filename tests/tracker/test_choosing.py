"""How trackers are chosen, several at once, and what a mistake is answered."""

from pathlib import Path

import pytest

from fedrun.core.option import ConfigError
from fedrun.experiment import batch, sweep, sweep_space, sweep_work
from fedrun.experiment.choices import nodes
from fedrun.experiment.compose import compose, dump
from fedrun.experiment.config_file import parse
from fedrun.experiment.launcher import End
from fedrun.experiment.place import run_path
from fedrun.experiment.settings import read_settings

BOTH = "tracker=[tensorboard,wandb]"


def tracker(*words: str, config: str = "train") -> dict:
    values = compose(config, list(words)).values
    read_settings(values)
    return values["tracker"]


def test_nobody_is_told_unless_asked() -> None:
    assert tracker() == tracker("tracker=none") == {"name": "none"}


def test_several_at_once_each_with_options_under_its_name() -> None:
    found = tracker(BOTH, "tracker.wandb.project=mine")
    assert list(found) == ["tensorboard", "wandb"]
    assert found["tensorboard"] == {"name": "tensorboard"}
    assert found["wandb"]["project"] == "mine"
    assert tracker("tracker=wandb") == tracker("tracker=[wandb]")
    assert compose("train", [BOTH]).choices["tracker"] == "tensorboard,wandb"
    assert list(nodes({"tracker": found})) == ["tracker.tensorboard", "tracker.wandb"]


def test_a_users_own_stands_under_its_functions_name(spy) -> None:
    found = tracker("tracker=[own_tracker:spy,wandb]", "tracker.spy.times=3")
    assert found["spy"] == {"name": "own_tracker:spy", "colour": "red", "times": 3}


@pytest.mark.parametrize(
    "text",
    ["tracker: wandb", "tracker: [wandb]", "tracker: {wandb: {}}", "tracker:\n  wandb:\n",
     "tracker: {wandb: {name: wandb}}", "defaults:\n- override /tracker: wandb",
     "defaults:\n- override /tracker: [wandb]"],
)  # fmt: skip
def test_a_file_chooses_in_any_of_these_ways(folder: Path, text: str) -> None:
    (folder / "mine.yaml").write_text(text)
    assert tracker(config="mine.yaml") == tracker("tracker=wandb")


def test_the_command_line_goes_over_a_file(folder: Path) -> None:
    (folder / "mine.yaml").write_text("tracker: {wandb: {project: mine}, mlflow: {uri: here}}")
    assert tracker(config="mine.yaml")["mlflow"]["uri"] == "here"
    assert tracker("tracker=none", config="mine.yaml") == {"name": "none"}
    other = tracker("tracker=[tensorboard,wandb]", config="mine.yaml")
    assert list(other) == ["tensorboard", "wandb"]
    assert other["wandb"]["project"] == "mine"


@pytest.mark.parametrize("words", [[], [BOTH], ["tracker=own_tracker:spy", "tracker.spy.times=2"]])
def test_a_saved_config_gives_itself_again(folder: Path, spy, words: list[str]) -> None:
    values = compose("train", words).values
    (folder / "config.yaml").write_text(dump(values))
    assert parse(dump(values), "")["tracker"] == values["tracker"]
    assert compose("config.yaml").values == values


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("tracker=tensorbord", "tracker=tensorbord is not known; did you mean 'tensorboard'?"),
        ("tracker=[wandb,mlfow]", "tracker=mlfow is not known; did you mean 'mlflow'?"),
        ("tracker=[tensorboard,tensorboard]", "names tensorboard twice; once is enough"),
        ("tracker=[none,wandb]", "none stands alone; leave it out"),
        ("tracker=tensorboard,wandb", "stand in brackets: tracker=[tensorboard,wandb]"),
        ("tracker=[]", "takes a name, or several in brackets"),
        ("+tracker=wandb", "write tracker=wandb"),
        ("tracker=wandb tracker.wandb.mod=x", "tracker=wandb has no option 'mod'; did you mean"),
        ("tracker.wandb.mode=x", "wandb is not chosen; choose it: tracker=wandb"),
        ("tracker=mlflow tracker.wandb.mode=x", "choose it: tracker=[mlflow,wandb]"),
        ("+tracker.wandb.mode=x", "tracker.wandb has no effect: wandb is not chosen"),
        ("tracker.mode=x", "no option 'tracker.mode'; did you mean 'tracker.wandb.mode'?"),
        ("tracker.wandbb.mode=x", "did you mean 'tracker.wandb.mode'?"),
        ("tracker=wandb tracker.wandb=3", "tracker.wandb is a set of keys"),
        ("tracker=wandb ~tracker.wandb", "tracker has no name: choose one with tracker=NAME"),
        ("tracker=wandb tracker.wandb.name=mlflow", "choose with tracker=NAME"),
        ("tracker=[own_tracker:spy,other_module:spy]", "there is no module 'other_module'"),
    ],
)
def test_a_mistake_is_answered_with_its_mend(spy, words: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        tracker(*words.split())
    assert said in str(caught.value)
    assert len(str(caught.value).splitlines()) <= 2


def test_two_of_one_short_name_are_refused(spy, folder: Path, monkeypatch) -> None:
    (folder / "second_tracker.py").write_text("from own_tracker import spy\n")
    monkeypatch.syspath_prepend(str(folder))
    with pytest.raises(ConfigError, match=r"both would stand under tracker\.spy"):
        tracker("tracker=[own_tracker:spy,second_tracker:spy]")


@pytest.mark.parametrize(
    ("text", "said"),
    [("tracker: {name: wandb, project: x}", "options stand under the name of a choice"),
     ("tracker: {wandbb: {}}", "did you mean 'wandb'?"),
     ("tracker: {w: {name: wandb}}", "tracker.w: options of wandb stand under tracker.wandb"),
     ("tracker: 5", "takes a name, or several"),
     ("tracker: {none: {}, wandb: {}}", "none stands alone")],
)  # fmt: skip
def test_a_mistake_in_a_file_is_told_with_the_file(folder: Path, text: str, said: str) -> None:
    (folder / "mine.yaml").write_text(text)
    with pytest.raises(ConfigError, match=r"mine\.yaml|tracker=") as caught:
        tracker(config="mine.yaml")
    assert said in str(caught.value)


def test_the_folder_of_a_run_is_the_same_with_and_without() -> None:
    words = ["rounds=5", "algorithm=fedprox"]
    assert run_path(compose("train", words)) == run_path(
        compose("train", [*words, BOTH, "tracker.wandb.mode=online"])
    )


def test_a_sweep_over_trackers_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"stand in brackets: tracker=\[tensorboard,wandb\]"):
        sweep_space.read("train", ["tracker=tensorboard,wandb"])
    with pytest.raises(ConfigError, match="makes no other runs: it says only who is told"):
        sweep_space.read("train", ["tracker=wandb", "tracker.wandb.mode=offline,online"])


def test_cells_of_a_sweep_have_it_also_when_they_go_on(spy, folder: Path, made_run) -> None:
    plan = sweep.plan("train", ["seed=1,2", "tracker=own_tracker:spy", "tracker.spy.times=2"])
    words = plan.cells[0].job.words
    assert words == ["train", "--quiet", "seed=1", "tracker=own_tracker:spy", "tracker.spy.times=2"]
    begun = batch.Job(plan.cells[0].job.composed, Path("there"), "interrupted")
    assert begun.words == ["resume", "--quiet", "there", *words[-2:]]


def test_a_sweep_says_once_that_a_tracker_failed_in_its_cells(folder: Path, capsys) -> None:
    class Cheap:  # a launcher whose processes have ended already, well, and with a warning
        def start(self, words: list[str]) -> "Cheap":
            return self

        def poll(self) -> End:
            said = "fedrun: tracker=wandb failed in round 1 and is left out: OSError: full\n"
            return End(0, f"another library's words\n{said}")

        def stop(self) -> None: ...
        def wait(self) -> None: ...

    plan = sweep.plan("train", ["seed=1,2"])
    plan.open()
    sweep_work.work(plan, 2, Cheap(), sweep_work.Nobody())
    plan.close()
    said = capsys.readouterr().err
    assert said.startswith("fedrun: seed=1: tracker=wandb failed in round 1 and is left out: OSEr")
    assert said.count("\n") == 1


def test_a_sweep_is_told_of_a_missing_library_before_it_begins(monkeypatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "wandb", None)
    with pytest.raises(ConfigError, match="needs an extra"):
        sweep.plan("train", ["seed=1,2", "tracker=wandb"])
