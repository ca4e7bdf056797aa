"""Small federations, made the way the program makes them, and trained without the command line."""

import copy
import json
import os

os.environ["OMP_NUM_THREADS"] = "1"  # before PyTorch is imported: it reads this once

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra.core.override_parser.overrides_parser import OverridesParser

from fedrun.core.federation import State
from fedrun.core.tree import Tree
from fedrun.experiment.build import Experiment, build
from fedrun.experiment.choices import groups
from fedrun.experiment.compose import compose
from fedrun.experiment.config_text import dump
from fedrun.experiment.evaluation import open_crew
from fedrun.experiment.loop import Event, rounds

torch.set_num_threads(1)

BLOBS = ["data=blobs", "data.examples=150", "data.features=6", "data.classes=3", "clients.count=5"]

Build = Callable[..., Experiment]
Play = Callable[..., list[Event]]


@pytest.fixture(scope="session", autouse=True)
def no_waiting_for_the_disk() -> Iterator[None]:
    """What tests write need not outlive a power cut; programs that they start still wait."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        yield


@pytest.fixture(scope="session")
def federation() -> Build:
    """federation("algorithm=fedprox", "algorithm.mu=1") -> Experiment, of one round unless told.

    Without a `data=` of its own it is five unequal clients on 120 rows of three classes.
    """

    def make(*overrides: str) -> Experiment:
        data = [] if any(text.startswith("data=") for text in overrides) else BLOBS
        return build(values([*data, "rounds=1", *overrides]))

    return make


def values(overrides: list[str]) -> dict[str, Any]:
    """What `compose` gives. Hydra takes 70 ms a set of choices; so each is composed alone, and what
    it changes, and settings of keys that are there, are laid over it here. All else is left to
    Hydra."""
    choosing = [text for text in overrides if text.partition("=")[0] in groups()]
    setting = [text for text in overrides if text not in choosing]
    if any(text[0] in "~+" or set(text) & set("'\"$") for text in setting) or ":" in "".join(
        choosing
    ):
        return compose("train", overrides).values
    found = copy.deepcopy(chosen(tuple(choosing)))
    for override in OverridesParser.create().parse_overrides(setting):
        *path, name = override.key_or_group.split(".")
        node: Any = found
        for part in path:
            node = node.get(part) if isinstance(node, dict) else None
        if not isinstance(node, dict) or name not in node or isinstance(node[name], dict):
            return compose("train", overrides).values
        node[name] = override.value()
    return found


@cache
def chosen(choosing: tuple[str, ...]) -> dict[str, Any]:
    """Choices of several groups together: what each changes alone, in the groups' order."""
    by_group = {text.partition("=")[0]: text for text in choosing}
    found = copy.deepcopy(composed())
    for group in groups():
        if group not in by_group:
            continue
        alone = composed(by_group[group])
        found[group] = copy.deepcopy(alone[group])
        for key in alone.keys() - {group}:
            if key in groups() and alone[key]["name"] != composed()[key]["name"]:
                return compose("train", list(choosing)).values
            found[key] = changed(found[key], composed()[key], alone[key])
    return found if len(by_group) == len(choosing) else compose("train", list(choosing)).values


@cache
def composed(*choice: str) -> dict[str, Any]:
    return compose("train", list(choice)).values


def changed(found: Any, before: Any, after: Any) -> Any:
    """`found`, with what is other in `after` than in `before`."""
    if before == after:
        return found
    if isinstance(found, dict) and isinstance(before, dict) and isinstance(after, dict):
        other = {key for key in {**before, **after} if before.get(key) != after.get(key)}
        kept = {key: value for key, value in found.items() if key in after or key not in other}
        return kept | {
            key: changed(kept.get(key), before.get(key), after[key]) for key in other & after.keys()
        }
    return copy.deepcopy(after)


@pytest.fixture(scope="session")
def short_way() -> Callable[[list[str]], dict[str, Any]]:
    """`values`, which is to give what `compose` gives."""
    return values


@pytest.fixture(scope="session")
def play() -> Play:
    """play(experiment) -> the events of all its rounds, from `state` on where one is given."""

    def run(experiment: Experiment, state: State | None = None) -> list[Event]:
        with open_crew(experiment) as crew:
            return list(rounds(experiment, state or experiment.state, [], crew))

    return run


@pytest.fixture(scope="session")
def train(federation: Build, play: Play) -> Callable[..., Tree]:
    """train(overrides) -> the global model after the last round."""

    def model(*overrides: str) -> Tree:
        last = play(federation(*overrides))[-1]
        return last.state.server["model"]

    return model


@pytest.fixture(scope="session")
def line() -> Callable[..., list[str]]:
    """line([[(x, y), ...], ...]) -> overrides: the points of each client, fitted by y ~ w x + b.

    Squared error from w = b = 0; one whole-set step of lr 0.1 a round unless told: a closed form.
    """

    def overrides(clients: list[list[tuple[float, float]]]) -> list[str]:
        x = [[x] for points in clients for x, _ in points]
        y = [y for points in clients for _, y in points]
        owner = [k for k, points in enumerate(clients) for _ in points]
        return ["data=inline", f"data.x={x}", f"data.y={y}", f"data.client={owner}",
                "partition=natural", "model=logistic", "model.init=0",
                "local.batch_size=0", "local.lr=0.1"]  # fmt: skip

    return overrides


@pytest.fixture(scope="session")
def same() -> Callable[[Tree, Tree], bool]:
    """same(tree, tree): the same names and the same bits."""

    def equal(left: Any, right: Any) -> bool:
        if isinstance(left, Tree):
            return left.keys() == right.keys() and all(equal(left[n], right[n]) for n in left)
        return torch.equal(left, right) if isinstance(left, torch.Tensor) else left == right

    return equal


@pytest.fixture(scope="session")
def normalised(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A small model with batch normalisation, named as a user names one: an override."""
    folder = tmp_path_factory.mktemp("models")
    (folder / "own_models.py").write_text(
        "from torch import nn\n\n\ndef normalised(spec):\n    '''Batch normalisation.'''\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(6, 4), nn.BatchNorm1d(4), nn.ReLU(),\n"
        "                         nn.Linear(4, spec.outputs))\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        yield "model=own_models:normalised"


@pytest.fixture(scope="session")
def batch_norm(federation: Build, normalised: str) -> Build:
    """federation(...) of that model."""

    def make(*options: str) -> Experiment:
        return federation(normalised, "local.batch_size=20", *options)

    return make


@pytest.fixture(scope="session")
def small(normalised: str) -> Callable[[str, str], list[str]]:
    """small(algorithm, engine) -> overrides: a small model that both can train, or skips."""

    def overrides(algorithm: str, engine: str = "eager") -> list[str]:
        if algorithm != "fedbn":
            return ["model.hidden=[8]"]
        if engine not in ("auto", "eager"):
            pytest.skip(f"engine={engine} keeps no running statistics")
        return [normalised, "local.batch_size=20"]

    return overrides


@pytest.fixture(scope="session")
def made_run() -> Callable[..., Path]:
    """made_run(folder, [0.5, 0.6], seed=1, lr=0.1) -> a run directory that nobody has trained.

    Its test accuracy is given round by round (None: not scored there); each round sends 100 bytes
    up and 300 down. `more` are further columns, `config` further keys of the config.
    """

    def make(
        path: Path, accuracy: Sequence[float | None], *, seed: int = 0, algorithm: str = "fedavg",
        lr: float = 0.1, status: str = "finished", more: dict[str, Sequence[float]] | None = None,
        config: dict[str, Any] | None = None, manifest: dict[str, Any] | None = None,
    ) -> Path:  # fmt: skip
        path.mkdir(parents=True)
        values = {
            "rounds": len(accuracy), "seed": seed, "name": path.name, "run": {"root": "runs"},
            "data": {"name": "digits", "root": str(path)}, "local": {"name": "sgd", "lr": lr},
            "algorithm": {"name": algorithm}, "engine": {"name": "auto", "workers": seed},
            **(config or {}),
        }  # fmt: skip
        (path / "config.yaml").write_text(dump(values))
        facts = {"schema": 1, "status": status, "config": {"sha256": "0"}, "resumed": 0,
                 "data": {"name": values["data"]["name"], "sha256": "da7a"},
                 "partition": {"sha256": "1"}, "model": "2", **(manifest or {})}  # fmt: skip
        if status == "finished":
            facts = {"ended": "2026-11-21T12:00:00+00:00", **facts}
        (path / "manifest.json").write_text(json.dumps(facts))
        lines = []
        for at, value in enumerate(accuracy, start=1):
            line = {"round": at, "comm/up_bytes": 100 * at, "comm/down_bytes": 300 * at}
            if value is not None:
                line |= {"test/accuracy": value, "test/loss": 1 - value}
            line |= {name: column[at - 1] for name, column in (more or {}).items()}
            lines.append(json.dumps(line) + "\n")
        (path / "metrics.jsonl").write_text("".join(lines))
        (path / ".lock").touch()
        return path

    return make
