"""What a run notes about itself, and what may differ when it goes on."""

import shutil
import subprocess
from pathlib import Path

import pytest

from fedrun.core.option import ConfigError
from fedrun.experiment.build import build
from fedrun.experiment.compose import compose
from fedrun.experiment.manifest import git_facts
from fedrun.experiment.run import evaluation_config, refuse_changes


def values(*overrides: str) -> dict:
    return compose("train", list(overrides)).values


@pytest.mark.parametrize(
    "override",
    ["rounds=99", "engine.workers=2", "evaluate.every=5", "checkpoint.keep=9", "stop.patience=3"],
)
def test_what_cannot_change_a_done_round_may_differ(override: str) -> None:
    refuse_changes(values(), values(override))


@pytest.mark.parametrize(
    "override",
    ["seed=1", "clients.per_round=0.5", "algorithm=scaffold", "local.lr=1", "engine=stack",
     "model.hidden=[3]", "device=auto", "name=x", "run.root=x", "run.dir=x"],
)  # fmt: skip
def test_everything_else_may_not(override: str) -> None:
    with pytest.raises(ConfigError, match=f"another {override.partition('=')[0]}"):
        refuse_changes(values(), values(override))


@pytest.mark.parametrize("group", ["local", "server"])
def test_a_cosine_needs_to_know_its_end(group: str) -> None:
    cosine = f"{group}.schedule=cosine"
    with pytest.raises(ConfigError, match=cosine):
        refuse_changes(values(cosine), values(cosine, "rounds=99"))
    refuse_changes(values(cosine), values(cosine, "checkpoint.every=3"))


OWN = """
from fedrun.local.sgd import sgd


def linear(rounds, *, lr: float = 0.1):
    return sgd(rounds, lr=lr)


def plain(*, lr: float = 0.1):
    return sgd(1, lr=lr)
"""


def test_a_factory_of_ones_own_may_need_to_know_the_end(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "own_local_steps.py").write_text(OWN)
    monkeypatch.syspath_prepend(str(tmp_path))
    local = "local=own_local_steps:linear"
    with pytest.raises(ConfigError, match=f"changed on the way: {local} depends on it"):
        refuse_changes(values(local), values(local, "rounds=99"))
    refuse_changes(values(local), values(local, "checkpoint.every=3"))
    local = "local=own_local_steps:plain"
    refuse_changes(values(local), values(local, "rounds=99"))


@pytest.mark.skipif(shutil.which("git") is None, reason="no git here")
def test_git_facts(tmp_path: Path) -> None:
    file = tmp_path / "a.py"
    file.write_text("")
    assert git_facts(file) == {}

    def git(*words: str) -> None:
        who = ["-c", "user.name=a", "-c", "user.email=a@b"]
        subprocess.run(["git", "-C", str(tmp_path), *who, *words], check=True, capture_output=True)

    git("init")
    assert git_facts(file) == {}  # a checkout that does not track it says nothing
    git("add", "a.py")
    git("commit", "-m", "a")
    clean = git_facts(file)
    assert len(clean["commit"]) == 40
    assert clean["dirty"] is False
    file.write_text("changed")
    assert git_facts(file) == {**clean, "dirty": True}


def test_evaluation_may_take_other_data_only(tmp_path: Path) -> None:
    import fedrun
    from fedrun.experiment.directory import read_manifest

    path = fedrun.train("train", ["data=wine", "rounds=0", f"run.dir={tmp_path / 'run'}"]).path
    manifest = read_manifest(path)
    other = evaluation_config(path, manifest, ["data=digits"])
    assert other.values["data"]["name"] == "digits"
    for word in ("seed=1", "model.hidden=[3]", "partition=iid", "rounds=3"):
        with pytest.raises(ConfigError, match="only data may change"):
            evaluation_config(path, manifest, [word])


def test_a_client_without_an_example_is_refused(tmp_path, monkeypatch):
    (tmp_path / "lopsided.py").write_text(
        "from fedrun.core.partition import partition\n"
        "def lopsided(dataset, count, draw):\n"
        "    import numpy as np\n"
        "    rows = np.arange(len(dataset.train))\n"
        "    return partition('lopsided@1', dataset, [rows, rows[:0]])\n"
        "def nothing(dataset):\n"
        "    return 3\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ConfigError, match="leaves 1 of 2 clients without a training example"):
        build(compose("train", ["partition=lopsided:lopsided"]).values)
    with pytest.raises(ConfigError, match=r"partition=lopsided:nothing returns int, .*Partition"):
        build(compose("train", ["partition=lopsided:nothing"]).values)
