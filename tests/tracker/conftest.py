"""Small runs with trackers, in this process; and a tracker that remembers and fails as told."""

import importlib
import json
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from fedrun.experiment import run as runs
from fedrun.experiment.compose import Composed, compose

# Five unequal clients, four features, three classes: a round takes some milliseconds.
SMALL = ["data=wine", "model=logistic", "clients.count=5", "rounds=3", "checkpoint.every=1"]

SPY = '''
"""Remembers what it is told; raises `failure` in the call that `failing` names."""
from pathlib import Path
from fedrun.core.tracker import Session, Tracker

calls, options, failing, failure, seen, known = [], {}, "", None, None, 0

def call(what, *told):
    if what == failing or (what, told[:1]) == failing:
        raise failure
    calls.append((what, *told))

def spy(*, colour: str = "red", times: int = 1):
    """Remembers.

    colour: of nothing
    times: of nothing
    """
    options.update(colour=colour, times=times)
    def start(run):
        call("start", run)
        def log(figures, step, at):
            if seen:
                seen(step)
            call("log", step, dict(figures), at)
        return Session(log=log, known=known, artifact=lambda file: call("artifact", file),
                       finish=lambda status: call("finish", status))
    return Tracker(start)

def other():
    """Remembers in another place."""
    def start(run):
        return Session(log=lambda figures, step, at: calls.append(("other", step)))
    return Tracker(start)

def no_tracker():
    return 5
'''


@pytest.fixture(scope="session")
def _module(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    folder = tmp_path_factory.mktemp("trackers")
    (folder / "own_tracker.py").write_text(SPY)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        yield importlib.import_module("own_tracker")


@pytest.fixture
def spy(_module: ModuleType) -> ModuleType:
    """The module of `tracker=own_tracker:spy`, as if nobody had called it yet."""
    _module.calls.clear()
    _module.options.clear()
    _module.failing, _module.failure, _module.seen, _module.known = "", None, None, 0
    return _module


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder."""
    place = tmp_path / "work"
    place.mkdir()
    monkeypatch.chdir(place)
    return place


@pytest.fixture
def train() -> Callable[..., Path]:
    """train("tracker=tensorboard") -> the directory of a small run."""

    def run(*words: str, **options: Any) -> Path:
        return runs.train(composed(*words), runs.Nobody(), **options)

    return run


@cache
def composed(*words: str) -> Composed:
    """Hydra takes a tenth of a second each time; nobody changes what it gives."""
    return compose("train", [*SMALL, *words])


@pytest.fixture
def resume() -> Callable[..., Path]:
    return lambda path, *words: runs.resume(path, words, runs.Nobody())


@pytest.fixture
def rows() -> Callable[[Path], dict[int, dict[str, float]]]:
    """rows(run) -> what `metrics.jsonl` says, round by round."""

    def read(path: Path) -> dict[int, dict[str, float]]:
        lines = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
        return {line.pop("round"): line for line in lines}

    return read
