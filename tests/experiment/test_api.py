"""fedrun from Python."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file

import fedrun

WORDS = ["data=wine", "model=logistic", "clients.count=4", "rounds=2"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> fedrun.Run:
    return fedrun.train("train", [*WORDS, f"run.dir={tmp_path_factory.mktemp('api') / 'run'}"])


@pytest.fixture
def no_pandas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)


def test_a_run_reads_its_files(run: fedrun.Run, no_pandas: None) -> None:
    assert run.status == "finished"
    assert [line["round"] for line in run.metrics] == [1, 2]
    assert len(run.clients) == 8
    assert run.summary["rounds"] == 2
    assert run.config["model"]["name"] == "logistic"


def test_tables_are_data_frames_where_pandas_is(run: fedrun.Run, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", SimpleNamespace(DataFrame=lambda rows: ("df", rows)))
    kind, rows = run.metrics
    assert kind == "df"
    assert len(rows) == 2


def test_the_model_has_the_final_weights(run: fedrun.Run) -> None:
    model = run.model()
    saved = load_file(run.path / "model.safetensors")
    assert not model.training
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, saved[name])


def test_a_finished_run_is_found_again_and_made_longer(tmp_path: Path, no_pandas: None) -> None:
    run = fedrun.train("train", [*WORDS, f"run.dir={tmp_path / 'run'}"])
    before = (run.path / "metrics.jsonl").read_bytes()
    assert fedrun.train("train", [*WORDS, f"run.dir={run.path}"]) == run
    assert (run.path / "metrics.jsonl").read_bytes() == before
    assert fedrun.resume(str(run.path)) == run
    assert len(fedrun.resume(run.path, ["rounds=3"]).metrics) == 3


def test_mistakes_are_config_errors(tmp_path: Path) -> None:
    with pytest.raises(fedrun.ConfigError, match="did you mean 'rounds'"):
        fedrun.train("train", ["roundz=2"])
    with pytest.raises(fedrun.ConfigError, match="is no run directory"):
        fedrun.resume(tmp_path / "nowhere")
    with pytest.raises(AttributeError, match="nothing"):
        fedrun.nothing  # noqa: B018


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: fedrun.sweep(["seed=0,1"]),
         r"""config is a name or a path, such as "train"; overrides come after it: "train", """
         r"""['seed=0,1']"""),
        (lambda: fedrun.train(["rounds=2"]), "\"train\", ['rounds=2']"),
        (lambda: fedrun.train(3), "config is a name or a path, such as \"train\", not 3"),
        (lambda: fedrun.sweep("train", "seed=0,1"), "overrides is a list, such as ['seed=0,1']"),
        (lambda: fedrun.train("train", {"rounds": 2}), "overrides is a list of texts"),
        (lambda: fedrun.train("train", [2]), "overrides is a list of texts"),
        (lambda: fedrun.load(3), 'path is a folder, such as "runs/NAME", not 3'),
        (lambda: fedrun.resume(["runs/a"]), 'path is a folder, such as "runs/NAME"'),
        (lambda: fedrun.resume("runs/a", "rounds=3"), "overrides is a list, such as"),
    ],
)  # fmt: skip
def test_wrong_types_are_told_in_a_line(call, said: str) -> None:
    with pytest.raises(TypeError) as error:
        call()
    assert said in str(error.value)
