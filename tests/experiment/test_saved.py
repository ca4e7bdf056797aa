"""The saved model is checked before it is used."""

import json
import shutil
from pathlib import Path

import pytest
import torch

import fedrun
from fedrun.core.option import RunError
from fedrun.experiment.build import build
from fedrun.experiment.compose import compose
from fedrun.experiment.saved import load_model, whole_model

WORDS = ["data=wine", "model=logistic", "clients.count=4", "rounds=2", "checkpoint.every=1"]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("saved") / "run"
    return fedrun.train("train", [*WORDS, f"run.dir={path}"]).path


@pytest.fixture
def run(original: Path, tmp_path: Path) -> Path:
    return shutil.copytree(original, tmp_path / "run")


@pytest.fixture(scope="module")
def experiment():
    return build(compose("train", WORDS).values)


def change(run: Path, **facts: object) -> None:
    old = json.loads((run / "manifest.json").read_text())
    (run / "manifest.json").write_text(json.dumps({**old, **facts}))


def test_the_final_model_and_that_of_a_checkpoint(run: Path, experiment, same) -> None:
    final, which = load_model(run, experiment)
    assert which == "the final model"
    assert list(final) == [name for name, _ in experiment.task.module.named_parameters()]
    change(run, status="interrupted")
    (run / "model.safetensors").unlink()
    saved, which = load_model(run, experiment)
    assert which == "the model of round 2 (the run is interrupted)"
    assert same(saved, final)
    shutil.rmtree(run / "checkpoints" / "round_000002")
    earlier, which = load_model(run, experiment)
    assert which.startswith("the model of round 1 ")
    assert not same(earlier, final)
    shutil.rmtree(run / "checkpoints")
    with pytest.raises(RunError, match="has no model yet: it is interrupted, with no checkpoint"):
        load_model(run, experiment)


def test_every_flipped_byte_is_noticed(run: Path, experiment) -> None:
    file = run / "model.safetensors"
    content = file.read_bytes()
    for position in range(0, len(content), 7):
        changed = bytearray(content)
        changed[position] ^= 1
        file.write_bytes(changed)
        with pytest.raises(RunError, match="does not match its checksum"):
            load_model(run, experiment)
    file.write_bytes(content[:-1])
    assert whole_model(run, json.loads((run / "manifest.json").read_text())) is None
    file.write_bytes(content)
    load_model(run, experiment)


def test_a_model_of_another_shape_is_refused(run: Path) -> None:
    other = build(compose("train", [*WORDS, "model=mlp", "model.hidden=[3]"]).values)
    with pytest.raises(RunError, match="does not fit this config's model"):
        load_model(run, other)
    wider = build(compose("train", [*WORDS[1:], "data=digits"]).values)
    with pytest.raises(RunError, match="does not fit this config's model or data set"):
        load_model(run, wider)


def test_a_copied_model_is_used_not_shared(run: Path, experiment) -> None:
    params, _ = load_model(run, experiment)
    module = experiment.task.load(params)
    with torch.no_grad():
        next(module.parameters()).zero_()
    assert any(leaf.any() for leaf in params.leaves())
    assert params["linear.weight" if "linear.weight" in params else next(iter(params))].any()
