"""What MLflow's own client finds in the store, held against metrics.jsonl."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("mlflow", reason="pip install 'fedrun[mlflow]'")

from fedrun.core.tracker import Tracked, flat
from fedrun.experiment.compose import compose
from fedrun.experiment.tracked import hyperparameters
from fedrun.tracker import mlflow as adapter
from fedrun.tracker.mlflow import mlflow

TOLD = "tracker=mlflow"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """One store for all tests: making one takes ten seconds."""
    return f"sqlite:///{tmp_path_factory.mktemp('store') / 'mlflow.db'}"


@pytest.fixture
def told(store: str, tmp_path: Path) -> list[str]:
    return [TOLD, f"tracker.mlflow.uri='{store}'", f"tracker.mlflow.experiment={tmp_path.name}"]


def client(store: str) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=store)


def living(store: str, tmp_path: Path) -> list[Any]:
    place = client(store).get_experiment_by_name(tmp_path.name)
    return list(client(store).search_runs([place.experiment_id]))


def figures(store: str, run: Any) -> dict[int, dict[str, float]]:
    rows: dict[int, dict[str, float]] = {}
    for name in run.data.metrics:
        for figure in client(store).get_metric_history(run.info.run_id, name):
            assert name not in rows.setdefault(figure.step, {}), "a point is there twice"
            rows[figure.step][name] = figure.value
    return dict(sorted(rows.items()))


def test_every_figure_is_there_and_the_model(store, told, train, rows, tmp_path) -> None:
    path = train(*told, "algorithm=fedprox")
    (run,) = living(store, tmp_path)
    assert figures(store, run) == rows(path)
    config = compose("train", ["algorithm=fedprox", "data=wine", "model=logistic"]).values
    assert run.data.params.keys() == flat(hyperparameters(config)).keys()
    assert run.data.params["algorithm.mu"] == "0.01"
    assert run.data.tags["fedrun.parameters"] == "42"
    assert run.info.run_name == f"train/{path.name}"
    assert run.info.status == "FINISHED"
    kept = client(store).download_artifacts(run.info.run_id, "model/model.safetensors", tmp_path)
    assert Path(kept).read_bytes() == (path / "model.safetensors").read_bytes()


def test_a_run_that_goes_on_is_one_run(store, told, train, resume, rows, tmp_path) -> None:
    path = train(*told)
    (before,) = living(store, tmp_path)
    resume(path, "rounds=5")
    (run,) = living(store, tmp_path)
    assert run.info.run_id == before.info.run_id
    assert figures(store, run) == rows(path)
    train(*told)  # finished, and known in full
    assert figures(store, living(store, tmp_path)[0]) == rows(path)


@pytest.mark.parametrize(("lost", "name"), [(4, "test/accuracy"), (2, "test/other")])
def test_what_metrics_jsonl_does_not_say_any_more_is_gone(
    store, told, train, resume, rows, tmp_path, lost: int, name: str
) -> None:
    path = train(*told)
    (before,) = living(store, tmp_path)
    client(store).log_metric(before.info.run_id, name, 0.5, timestamp=1, step=lost)
    resume(path, "rounds=5")
    (run,) = living(store, tmp_path)
    assert run.info.run_id != before.info.run_id
    assert figures(store, run) == rows(path)


def tracked(folder: Path, **config: Any) -> Tracked:
    return Tracked(
        key="abc", name="a/b", group="a", folder=folder, root=folder, config=config, facts={},
        started=1e9, history=[],
    )  # fmt: skip


def test_odd_figures_and_names(store: str, tmp_path: Path) -> None:
    tracker = mlflow(uri=store, experiment=tmp_path.name, model=False)
    session = tracker.start(tracked(tmp_path, long="x" * 9000))
    session.log({"client/accuracy@a": 1.0, "client/accuracy#a": 2.0, "int": 2**40 + 1}, 1, 1e9)
    session.finish("interrupted")
    (run,) = living(store, tmp_path)
    assert figures(store, run)[1] == {
        "client/accuracy_a": 1.0, "client/accuracy_a_2": 2.0, "int": 2.0**40 + 1
    }  # fmt: skip
    assert run.info.status == "KILLED"
    assert len(run.data.params["long"]) == adapter.LONGEST


BEGIN = """
import sys
from pathlib import Path
from fedrun.core.tracker import Tracked
from fedrun.tracker.mlflow import mlflow
here = Path.cwd()
run = Tracked(key=sys.argv[1], name="a", group="a", folder=here, root=here, config={}, facts={},
              started=1e9, history=[])
mlflow().start(run).finish("finished")
"""


def test_two_runs_may_begin_at_once(folder: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    both = [
        subprocess.Popen([sys.executable, "-c", BEGIN, key], cwd=folder, env=environment)
        for key in ("one", "two")
    ]
    assert [process.wait(timeout=120) for process in both] == [0, 0]
    found = client("sqlite:///mlflow/mlflow.db").search_runs(["1"])
    assert {run.data.tags["fedrun.key"] for run in found} == {"one", "two"}


def test_the_store_lies_in_the_folder_of_all_runs(train, rows, folder, caplog, capfd) -> None:
    path = train(TOLD, "run.root=kept")
    (run,) = client("sqlite:///kept/mlflow/mlflow.db").search_runs(["1"])
    assert figures("sqlite:///kept/mlflow/mlflow.db", run) == rows(path)
    assert sorted(file.name for file in folder.iterdir()) == ["kept"]
    assert capfd.readouterr() == ("", "")
