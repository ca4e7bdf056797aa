"""The model that a run saved, checked before it is used."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from safetensors.torch import load as load_tensors

from fedrun.core.buffers import model_of
from fedrun.core.federation import State
from fedrun.core.option import RunError
from fedrun.core.tree import Tree
from fedrun.experiment.bank_file import BankFile
from fedrun.experiment.build import Experiment
from fedrun.experiment.checkpoint import bank_ages, load_checkpoint, newest_checkpoint
from fedrun.experiment.directory import read_manifest
from fedrun.experiment.files import sha256

FILE = "model.safetensors"


def load_model(path: Path, experiment: Experiment) -> tuple[Tree, str]:
    """The parameters, and a few words that say which: final, or of the last checkpoint."""
    manifest = read_manifest(path)
    if manifest["status"] == "finished":
        content = whole_model(path, manifest)
        if content is None:
            raise RunError(
                f"{path / FILE} is missing, or does not match its checksum in manifest.json.\n"
                f"Write it again with: fedrun resume {shlex.quote(str(path))}"
            )
        params, which = Tree(load_tensors(content)), "the final model"
    else:
        newest = newest_checkpoint(path / "checkpoints")
        if newest is None:
            raise RunError(
                f"{path} has no model yet: it is {manifest['status']}, with no checkpoint"
            )
        tree, _ = load_checkpoint(newest)
        params = model_of(tree["server"])
        which = f"the model of round {tree['round']} (the run is {manifest['status']})"
    return fitting(path, experiment, params), which


def fitting(path: Path, experiment: Experiment, params: Tree) -> Tree:
    """The saved parameters in the model's order; a `RunError` where they are another model's."""
    whole = experiment.task.current() | experiment.task.current_buffers()
    expected = {name: tuple(leaf.shape) for name, leaf in whole.items()}
    found = {name: tuple(leaf.shape) for name, leaf in params.items()}
    if expected != found:
        raise RunError(f"the model saved in {path} does not fit this config's model or data set")
    return Tree({name: params[name] for name in expected})


@contextmanager
def last_state(path: Path, experiment: Experiment) -> Iterator[State]:
    """All that a finished run ended with; its clients' states as long as the context lasts."""
    folder = path / "checkpoints"
    newest = newest_checkpoint(folder)
    if newest is None:
        raise RunError(f"{path} has lost its checkpoints, and with them its clients' states")
    store = BankFile(folder, bank_ages(folder))
    begin = replace(experiment.state, bank=replace(experiment.state.bank, store=store))
    try:
        yield begin.restored(load_checkpoint(newest)[0])
    finally:
        store.close()


def whole_model(path: Path, manifest: Mapping[str, Any]) -> bytes | None:
    """The bytes of a finished run's model; None where they are not those that the run wrote."""
    file = path / FILE
    content = file.read_bytes() if file.is_file() else b""
    return content if sha256(content) == manifest["model"] else None
