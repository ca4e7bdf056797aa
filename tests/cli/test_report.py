"""`fedrun report` and what `fedrun evaluate` leaves for it."""

import errno
import html
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix

import fedrun as package
from fedrun.core.measure import score
from fedrun.core.option import RunError
from fedrun.experiment.build import build
from fedrun.experiment.compose import compose
from fedrun.experiment.evaluation_file import confusion
from fedrun.experiment.saved import load_model


@pytest.fixture(scope="module")
def trained(fedrun, tmp_path_factory) -> Path:
    """Two seeds of one method, really trained."""
    folder = tmp_path_factory.mktemp("trained")
    for seed in (0, 1):
        fedrun.small(folder / f"s{seed}", f"seed={seed}")
    return folder


def test_one_run_gets_its_page_and_prints_where(fedrun, folder: Path, made_run):
    made_run(folder / "r", [0.5, 0.6])
    answer = fedrun("report r")
    assert answer.out == "r/report.html\n"
    text = Path("r/report.html").read_text()
    assert text.startswith("<!doctype html>")
    assert fedrun("report r").out == "r/report.html\n"  # again, over our own
    assert Path("r/report.html").read_text() == text
    assert fedrun("report r --out -").out == text


def test_an_argument_that_was_no_unicode(fedrun, folder: Path, made_run):
    made_run(folder / "r", [0.5, 0.6], manifest={"command": "fedrun train run.dir=\udcff"})
    assert "run.dir=?" in fedrun("report r --out -").out
    fedrun("report r")
    assert "run.dir=?" in Path("r/report.html").read_text()


def test_where_it_is_written(fedrun, folder: Path, made_run):
    made_run(folder / "runs" / "a", [0.5], seed=0)
    made_run(folder / "runs" / "b", [0.6], seed=1)
    assert fedrun("report runs").out == "runs/report.html\n"
    assert fedrun("report runs/a runs/b").out == "report.html\n"
    assert fedrun("report runs --out x.html --title 'A <title>'").out == "x.html\n"
    assert "<title>A &lt;title&gt;</title>" in Path("x.html").read_text()
    assert [file.name for file in folder.iterdir() if file.name.startswith(".")] == []


def test_the_command_that_gives_the_table_again_asks_the_same(fedrun, folder: Path, made_run):
    made_run(folder / "r", [0.5, 0.6])
    page = html.unescape(fedrun("report r --at best --target 0.5 --by algorithm --out -").out)
    assert "fedrun compare r --at best --by algorithm --target 0.5" in page


MISTAKES = {
    "report": ["Missing argument"],
    "report nowhere": ["nowhere is not there; name run directories"],
    "report r --out x.pdf": ["--out x.pdf: the name must end in .html, or be - for stdout"],
    "report r --out r/config.yaml": ["the name must end in .html"],
    "report r --out no/x.html": ["--out no/x.html: there is no folder no"],
    "report r --at worst": ["--at worst is not known"],
    "report r --metric test/acuracy": ["test/acuracy was measured in none", "test/accuracy"],
    "report r --by algoritm": ["no run has the key 'algoritm'; did you mean 'algorithm'?"],
    "report r empty": ["no runs found in empty"],
}


@pytest.mark.parametrize("words", MISTAKES)
def test_mistakes(fedrun, folder: Path, made_run, words: str):
    made_run(folder / "r", [0.5])
    (folder / "empty").mkdir()
    answer = fedrun(words, 2)
    for told in MISTAKES[words]:
        assert told in answer.err
    assert not list(folder.rglob("*.html"))


def test_somebody_elses_report_is_left_alone(fedrun, folder: Path, made_run):
    made_run(folder / "r", [0.5])
    Path("r/report.html").write_text("<html>my own</html>")
    assert "r/report.html is there already and no report of fedrun's" in fedrun("report r", 2).err
    assert Path("r/report.html").read_text() == "<html>my own</html>"
    fedrun("report r --out r/report.html")  # named, it is meant


def test_what_is_left_out_is_said_on_the_way_too(fedrun, folder: Path, made_run):
    made_run(folder / "runs" / "a", [0.5])
    made_run(folder / "runs" / "b", [0.5], status="interrupted", seed=1)
    assert "1 unfinished run is left out; --unfinished counts it" in fedrun("report runs").err
    assert "1 unfinished run is counted as far as it came" in fedrun("report runs --unfinished").err


def test_a_full_or_closed_folder_costs_nothing_but_the_report(fedrun, folder: Path, made_run,
                                                              monkeypatch):  # fmt: skip
    made_run(folder / "r", [0.5])
    old = fedrun("report r --out x.html") and Path("x.html").read_text()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device", "x.html")

    monkeypatch.setattr("fedrun.experiment.files.os.fsync", full)
    assert fedrun("report r --out x.html", 1).err == "fedrun: x.html: No space left on device\n"
    assert Path("x.html").read_text() == old
    assert [file.name for file in folder.iterdir() if file.name.startswith(".")] == []


def test_evaluate_keeps_what_scikit_learn_would_say(fedrun, trained: Path):
    run = trained / "s0"
    fedrun(["evaluate", str(run)])
    kept = json.loads((run / "evaluation.json").read_text())
    experiment = build(compose(str(run / "config.yaml"), []).values)
    params, _ = load_model(run, experiment)
    scores = score(experiment.task, params, experiment.test)
    expected = confusion_matrix(scores.y, scores.prediction, labels=[0, 1, 2])
    assert kept["global"]["confusion"] == expected.tolist()
    shares, right = experiment.partition.test, scores.y == scores.prediction
    by_hand = [float(np.mean(right[shares[client]])) for client in shares.holders]
    assert kept["global"]["values"] == pytest.approx(by_hand)
    assert kept["model"] == json.loads((run / "manifest.json").read_text())["model"]
    last = package.load(run).summary["final"]
    assert np.mean(kept["global"]["values"]) == pytest.approx(last["client/accuracy_mean"])


def test_evaluate_keeps_nothing_of_other_data_or_unfinished_runs(fedrun, trained, tmp_path):
    run = Path(shutil.copytree(trained / "s1", tmp_path / "r"))
    (run / "evaluation.json").unlink(missing_ok=True)
    fedrun(["evaluate", str(run), "data.split_seed=1"])
    assert not (run / "evaluation.json").exists()
    facts = json.loads((run / "manifest.json").read_text())
    (run / "manifest.json").write_text(json.dumps({**facts, "status": "interrupted"}))
    fedrun(["evaluate", str(run)])
    assert not (run / "evaluation.json").exists()


def test_own_models_are_kept_too(fedrun, tmp_path: Path):
    run = fedrun.small(tmp_path / "r", "algorithm=ditto")
    out = fedrun(["evaluate", str(run)]).out
    kept = json.loads((run / "evaluation.json").read_text())
    last = package.load(run).summary["final"]
    for part, name in (("global", "client"), ("personal", "personal")):
        mean = float(np.mean(kept[part]["values"]))
        assert mean == pytest.approx(last[f"{name}/accuracy_mean"])
    assert f"personal/accuracy          {last['personal/accuracy']:.4f}" in out
    html = fedrun(["report", str(run), "--out", "-"]).out
    assert "Clients' own models" in html.replace("&#39;", "'")


def test_evaluate_on_the_way_scores_what_is_missing_and_no_more(fedrun, trained: Path):
    for run in trained.iterdir():
        (run / "evaluation.json").unlink(missing_ok=True)
    (trained / "s1" / "evaluation.json").write_text("{")  # damaged: written again
    before = fedrun(["report", str(trained), "--out", "-"])
    assert "1 finished run has no" in before.out
    assert "evaluation.json is damaged" in before.out
    answer = fedrun(["report", str(trained), "--out", "-", "--evaluate"])
    assert answer.err.count("fedrun evaluate ") == 2
    assert "2 runs together" in answer.out
    assert 'class="matrix"' in answer.out
    again = fedrun(["report", str(trained), "--out", "-", "--evaluate"])
    assert again.err.count("fedrun evaluate ") == 0
    assert again.out == answer.out


def test_a_run_that_cannot_be_scored_is_named_and_the_page_comes(fedrun, trained, monkeypatch):
    def moved(path: Path) -> None:
        raise RunError("its data have moved")

    monkeypatch.setattr("fedrun.experiment.evaluation_file.evaluate_run", moved)
    for run in trained.iterdir():
        (run / "evaluation.json").unlink(missing_ok=True)
    answer = fedrun(["report", str(trained), "--out", "-", "--evaluate"])
    assert answer.err.count("could not be scored: its data have moved") == 2
    assert "2 finished runs have no" in answer.out


def test_a_run_that_is_read_only_is_named_and_the_page_comes(fedrun, trained, monkeypatch):
    real = Path.open

    def closed(path: Path, *words, **more):
        if path.name == ".evaluation.json.part":
            raise OSError(errno.EROFS, "Read-only file system", str(path))
        return real(path, *words, **more)

    (trained / "s0" / "evaluation.json").unlink(missing_ok=True)
    monkeypatch.setattr(Path, "open", closed)
    answer = fedrun(["report", str(trained / "s0"), "--out", "-", "--evaluate"])
    told = f"could not be scored: {trained / 's0' / 'evaluation.json'}: Read-only file system"
    assert told in answer.err
    assert "1 finished run has no" in answer.out


@pytest.mark.slow
def test_a_run_that_was_made_longer_is_scored_again(fedrun, tmp_path: Path):
    run = fedrun.small(tmp_path / "r")
    fedrun(["evaluate", str(run)])
    fedrun(["resume", str(run), "rounds=4", "-q"])
    assert 'class="matrix"' not in fedrun(["report", str(run), "--out", "-"]).out
    assert 'class="matrix"' in fedrun(["report", str(run), "--out", "-", "--evaluate"]).out


def test_a_folder_that_cannot_be_written_is_told_and_the_figures_come(fedrun, trained, monkeypatch):
    def closed(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("fedrun.experiment.evaluation_file.write_json", closed)
    answer = fedrun(["evaluate", str(trained / "s0")])
    assert "Confusion matrix" in answer.out
    assert "evaluation.json was not written: Permission denied" in answer.err


def test_audit_and_resume_do_not_mind_the_new_files(fedrun, trained: Path):
    fedrun(["report", str(trained / "s1"), "--evaluate"])
    fedrun(["audit", str(trained / "s1")])
    fedrun(["compare", str(trained)])
    assert {run.name for run in trained.iterdir()} == {"s0", "s1"}


def test_a_report_imports_no_pytorch_and_help_no_templates(folder: Path, made_run):
    made_run(folder / "r", [0.5])
    code = (
        "import sys; from fedrun.cli.app import build_app\n"
        "assert 'jinja2' not in sys.modules\n"
        "build_app()(['report', 'r'], standalone_mode=False)\n"
        "assert not {'torch', 'matplotlib'} & set(sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_confusion_has_true_classes_down():
    assert confusion(np.array([0, 0, 0, 2]), np.array([0, 1, 1, 2]), 3) == [
        [1, 2, 0],
        [0, 0, 0],
        [0, 0, 1],
    ]
