"""`fedrun export` as a user meets it: files that answer as the run does, with their facts."""

import hashlib
import io
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from sklearn.datasets import load_wine

import fedrun as api
from fedrun.data.wine import wine
from fedrun.experiment import run as runs
from fedrun.experiment.compose import compose
from fedrun.experiment.export_form import quiet
from fedrun.experiment.protection import FITTED
from fedrun.experiment.run import Nobody


@pytest.fixture(scope="module")
def run(fedrun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of three rounds, and never changed."""
    return fedrun.small(tmp_path_factory.mktemp("export") / "run", "checkpoint.keep=2")


@pytest.fixture(autouse=True)
def clean(run: Path):
    yield
    shutil.rmtree(run / "export", ignore_errors=True)


def facts(file: str | Path) -> dict:
    return json.loads(Path(f"{file}.json").read_text())


def test_safetensors_with_facts_beside_and_inside(fedrun, run: Path, manifest) -> None:
    out = fedrun(f"export {run}").out
    file = run / "export" / "model.safetensors"
    assert f"file     {file}\nfacts    {file}.json\n" in out
    assert "checked  on 8 test rows: within 0.0e+00" in out
    written, saved = load_file(file), load_file(run / "model.safetensors")
    assert written.keys() == saved.keys()
    assert all(torch.equal(written[name], saved[name]) for name in saved)
    told = facts(file)
    assert told["model"]["what"] == "the final model"
    assert told["model"]["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert told["model"]["run_model_sha256"] == manifest(run)["model"]
    assert told["model"]["config"] == {"name": "logistic", "init": None}
    assert told["training"]["config_sha256"] == manifest(run)["config"]["sha256"]
    assert told["output"]["classes"] == ["class_0", "class_1", "class_2"]
    assert told["privacy"] is None
    assert str(run.parent) not in Path(f"{file}.json").read_text()
    assert "checks hold" in fedrun(f"audit {run}").out  # the run is as whole as before


def test_the_facts_prepare_raw_examples_as_the_reader_does(fedrun, run: Path) -> None:
    """From scikit-learn's raw numbers to the run's own accuracy, by the exported file alone."""
    fedrun(f"export {run} --to torchscript --out wine.pt")
    told = facts("wine.pt")
    features = told["input"]["preparation"]["features"]
    raw = load_wine()
    assert [feature["name"] for feature in features] == raw.feature_names
    rows = raw.data - [feature["subtract"] for feature in features]
    rows = (rows / [feature["divide_by"] for feature in features]).astype(np.float32)
    with quiet():
        model = torch.jit.load("wine.pt")
    predicted = model(torch.from_numpy(rows)).argmax(-1).numpy()
    right = predicted == raw.target
    # The test rows are found again among the raw ones, to the bit.
    found = {row.tobytes(): answer for row, answer in zip(rows, right, strict=True)}
    own = [found[row.tobytes()] for row in wine().test.x]
    summary = json.loads((run / "summary.json").read_text())
    assert np.mean(own) == pytest.approx(summary["final"]["test/accuracy"])


def test_checkpoints_and_unfinished_runs(fedrun, run: Path) -> None:
    out = fedrun(f"export {run} --checkpoint 2 --out two.safetensors").out
    assert out.startswith("the model of round 2,")
    two, last = load_file("two.safetensors"), load_file(run / "model.safetensors")
    assert not torch.equal(two["1.weight"], last["1.weight"])
    assert facts("two.safetensors")["training"]["rounds"] == 2
    error = fedrun(f"export {run} --checkpoint 1", 2).err
    assert "no checkpoint of round 1 (kept: 2, 3)" in error

    class Stops(Nobody):
        def round(self, event) -> None:
            if event.state.round == 2:
                raise KeyboardInterrupt

    words = ["data=wine", "model=logistic", "clients.count=5", "run.dir=half"]
    with pytest.raises(KeyboardInterrupt):
        runs.train(compose("train", words), Stops())
    assert fedrun("export half").out.startswith("the model of round 2 (the run is interrupted),")
    assert facts("half/export/model.safetensors")["training"]["rounds"] is None


NORM = '''
from torch import nn

def norm(spec):
    """A line and running statistics."""
    return nn.Sequential(nn.Linear(13, 4), nn.BatchNorm1d(4), nn.Linear(4, spec.outputs))
'''


def test_running_statistics_are_the_runs(fedrun, folder: Path, monkeypatch) -> None:
    (folder / "normed.py").write_text(NORM)
    monkeypatch.syspath_prepend(folder)
    run = fedrun.small(folder / "run", "model=normed:norm", "local.batch_size=0")
    saved = load_file(run / "model.safetensors")
    assert not torch.equal(saved["1.running_mean"], torch.zeros(4))
    fedrun(f"export {run}")
    written = load_file(run / "export" / "model.safetensors")
    assert torch.equal(written["1.running_mean"], saved["1.running_mean"])
    module = api.load(run).model()
    module.load_state_dict(written)  # strict: nothing is missing, counters included
    fedrun(f"export {run} --to torchscript")
    with quiet():
        model = torch.jit.load(run / "export" / "model.pt")
    x = torch.randn(4, 13)
    assert torch.allclose(model(x), module(x), atol=1e-6)


@pytest.mark.slow
def test_clients_own_models(fedrun, folder: Path) -> None:
    run = fedrun.small(folder / "run", "algorithm=fedper", "model=mlp", "model.hidden=[4]")
    out = fedrun(f"export {run}").out
    assert "algorithm=fedper: the global model is not meant to be used by itself" in out
    assert "caution" in facts(run / "export" / "model.safetensors")["model"]
    out = fedrun(f"export {run} --client 3 --out three.safetensors").out
    assert out.startswith("client 3's own model after round 3")
    whole, own = load_file(run / "model.safetensors"), load_file("three.safetensors")
    assert torch.equal(own["1.weight"], whole["1.weight"])  # shared
    assert not torch.equal(own["3.weight"], whole["3.weight"])  # its own head
    assert "caution" not in facts("three.safetensors")["model"]
    for words, told in {
        "--client nobody": "--client nobody is none of 5 clients (0, 1, 2, 3, 4)",
        "--client 3 --checkpoint 2": "--client takes the newest state, and no --checkpoint",
    }.items():
        assert told in fedrun(f"export {run} {words}", 2).err


@pytest.mark.slow
def test_private_runs_carry_their_statement(fedrun, folder: Path) -> None:
    run = fedrun.small(folder / "run", "privacy=central", "partition=iid", "rounds=1")
    fedrun(f"export {run}")
    statement = json.loads((run / "summary.json").read_text())["privacy"]
    assert facts(run / "export" / "model.safetensors")["privacy"] == statement
    assert statement["unit"] == "client"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("RUN --client 0", "gives all clients one model"),
        ("RUN --to onx", "accepted: onnx, torchscript, safetensors); did you mean 'onnx'?"),
        (
            "run --to pickle",
            "--to pickle is not accepted (accepted: onnx, torchscript,",
        ),
        ("RUN --out no/such/m.pt", "there is no folder no/such"),
        ("RUN --out RUN/model.safetensors", "holds nothing but the run's own files"),
        ("RUN --out .", "is a folder"),
        (
            "RUN rounds=4",
            "data.path and data.test_path beside its options, not rounds=4",
        ),
        ("nowhere", "nowhere is no run directory"),
    ],
)
def test_mistakes(fedrun, run: Path, words: str, told: str) -> None:
    before = (run / "model.safetensors").read_bytes()
    answer = fedrun(f"export {words.replace('RUN', str(run))}", 2)
    assert told in answer.err
    assert answer.out == ""
    assert (run / "model.safetensors").read_bytes() == before
    assert not (run / "export").exists()


def test_without_the_extra_it_is_named(fedrun, run: Path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    error = fedrun(f"export {run} --to onnx", 2).err
    assert "pip install 'fedrun[onnx]'" in error
    assert len(error.splitlines()) == 1


def test_a_model_that_answers_otherwise_is_not_written(fedrun, run: Path, monkeypatch) -> None:
    load = torch.jit.load

    def wrong(file: io.BytesIO):
        model = load(file)
        return lambda x: model(x) + 1e-3

    monkeypatch.setattr(torch.jit, "load", wrong)
    error = fedrun(f"export {run} --to torchscript", 1).err
    assert "differs from the run's by 0.001 on 8 test rows" in error
    assert not (run / "export" / "model.pt").exists()


@pytest.mark.slow
def test_onnx_through_the_command(fedrun, run: Path) -> None:
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxscript")
    out = fedrun(f"export {run} --to onnx").out
    file = run / "export" / "model.onnx"
    assert "as onnx" in out
    assert "checked  on 8 test rows" in out
    inside = json.loads(onnx.load(file).metadata_props[0].value)
    assert inside["input"] == facts(file)["input"]
    before = file.read_bytes()
    fedrun(f"export {run} --to onnx")
    assert file.read_bytes() == before


PRIVATE = ["privacy=central", "privacy.noise_multiplier=1", "clients.per_round=0.5",
           "clients.sampling=poisson"]  # fmt: skip


def test_constants_of_a_private_run_are_told_to_have_no_noise(fedrun, folder: Path) -> None:
    run = fedrun.small(folder / "run", *PRIVATE)
    out = fedrun(f"export {run}").out
    assert FITTED in out
    told = facts(run / "export" / "model.safetensors")
    assert told["privacy"]["caveats"][-1] == FITTED
    assert told["input"]["preparation"]["features"]
    digits = fedrun.small(folder / "digits", *PRIVATE, "data=digits")
    assert FITTED not in fedrun(f"export {digits}").out
    assert FITTED not in facts(digits / "export" / "model.safetensors")["privacy"]["caveats"]


def test_constants_of_single_clients_are_withheld_of_a_private_run(
    fedrun, folder: Path, monkeypatch
) -> None:
    (folder / "apart.py").write_text(APART)
    monkeypatch.syspath_prepend(folder)
    for private in (False, True):
        run = folder / f"run{private}"
        fedrun.small(run, "data=apart:apart", *(PRIVATE if private else []))
        out = fedrun(f"export {run}").out
        told = facts(run / "export" / "model.safetensors")
        assert ("withheld" in out) is private
        assert ("features_by_client" in told["input"]["preparation"]) is not private
        assert (FITTED in out) is private


APART = '''
from dataclasses import replace

from fedrun.core.preparation import Preparation
from fedrun.data.wine import wine

def apart():
    """Each client prepares its rows in its own way."""
    data = wine()
    return replace(data, prepared=Preparation("apart", by_client={"own": data.prepared.features}))
'''


def test_nobody_is_told_where_the_data_lay(fedrun, folder: Path) -> None:
    lines = [f"{2 * row},{row % 2}" for row in range(40)]
    (folder / "t.csv").write_text("\n".join(["x,y", *lines]))
    path = f"data.path={folder / 't.csv'}"
    run = fedrun.small(folder / "run", "data=table", path, "data.target=y")
    fedrun(f"export {run}")
    told = facts(run / "export" / "model.safetensors")
    assert told["data"]["source"] == "t.csv, target y"
    assert str(folder) not in json.dumps(told)
    (folder / "t.csv").rename(folder / "moved.csv")
    fedrun(f"export {run} data.path={folder / 'moved.csv'}")
    assert facts(run / "export" / "model.safetensors")["data"]["source"] == "moved.csv, target y"
