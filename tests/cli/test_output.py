"""What stands on the screen, and that the figures there are the right ones."""

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from sklearn.datasets import load_wine
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support, r2_score

import fedrun as package
from fedrun.experiment import api, choices
from fedrun.experiment.build import build

ROOT = Path(__file__).resolve().parents[2]
WINE = "data=wine model=logistic clients.count=5"


@pytest.fixture(scope="module")
def run(fedrun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fedrun.small(tmp_path_factory.mktemp("output") / "run")


def test_a_slower_engine_says_why(fedrun, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CXX", "/no/compiler")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    run = tmp_path / "run"
    out = fedrun(f"train {WINE} rounds=1 run.dir={run}").out
    why = "no C++ compiler (/no/compiler) is installed"
    assert out.splitlines()[1] == f"engine stack, lockstep, written out: {why}"
    manifest = json.loads((run / "manifest.json").read_text())
    assert manifest["engine"] == {"name": "stack", "how": "lockstep, written out", "why": why}


def test_a_line_a_round_in_a_pipe(fedrun) -> None:
    out = fedrun(f"train {WINE} rounds=3").out
    heading, *rounds = out.splitlines()[:4]
    assert heading == "wine: 5 clients (5 a round), dirichlet/per_class@1, 142 examples"
    for number, line in enumerate(rounds, start=1):
        assert re.match(rf"round {number}/3  train/loss \d\.\d{{4}}  .* \d+\.\d\d s$", line)
    assert out.count("\nround ") == 3
    path = re.search(r"\nrun      (\S+)\n", out)[1]
    assert Path(path).is_dir()
    assert f"fedrun evaluate {path}" in out
    assert f"fedrun resume {path} rounds=23" in out
    assert "\x1b" not in out


def test_quiet_prints_the_path_alone(fedrun) -> None:
    answer = fedrun(f"train --quiet {WINE} rounds=1")
    assert Path(answer.out.strip(), "model.safetensors").is_file()
    assert answer.out.count("\n") == 1
    assert answer.err == ""


def test_closing_figures_are_the_summarys(fedrun, run: Path) -> None:
    out = fedrun(["train", f"config={run / 'config.yaml'}"]).out
    summary = json.loads((run / "summary.json").read_text())
    row = next(line for line in out.splitlines() if line.startswith("test accuracy"))
    best = summary["best"]["test/accuracy"]
    expected = [
        f"{summary['final']['test/accuracy']:.4f}",
        f"{best['value']:.4f}",
        str(best["round"]),
    ]
    assert row.split()[2:5] == expected


def test_names_with_brackets_are_shown_as_they_are(fedrun, folder: Path) -> None:
    sites = ["[red]", "[/x]"]
    rows = "".join(f"{2 * i},{i % 5},[b]{i % 2}[/],{sites[i % 2]}\n" for i in range(60))
    (folder / "t.csv").write_text("a,b,label,site\n" + rows)
    path = folder / "[bold]run"
    words = ["data=table", "data.path=t.csv", "data.target=label", "data.client=site",
             "partition=natural", "rounds=1", f"run.dir='{path}'"]  # fmt: skip
    assert str(path) in fedrun(["train", *words]).out
    out = fedrun(["evaluate", str(path)]).out
    for name in (str(path), "[b]0[/]", "[/x]", "[red]"):
        assert name in out
    assert "[/x]" in fedrun(["partition", *words]).out
    assert str(path) in fedrun(["train", "--dry-run", *words]).out


def test_evaluate_prints_scikit_learns_figures(fedrun, run: Path) -> None:
    out = fedrun(["evaluate", str(run)]).out
    experiment = build(api.Run(run).config)
    with torch.no_grad():
        guess = api.Run(run).model()(experiment.test.x).argmax(1).numpy()
    truth = experiment.test.y.numpy()
    table = [line.split() for line in out.splitlines()]
    names = [str(name) for name in load_wine().target_names]
    precision, recall, f1, support = precision_recall_fscore_support(
        truth, guess, zero_division=0.0
    )
    for index, name in enumerate(names):
        figures = [f"{column[index]:.4f}" for column in (precision, recall, f1)]
        assert [name, *figures, str(support[index])] in table
    macro = precision_recall_fscore_support(truth, guess, average="macro", zero_division=0.0)
    assert ["macro", "mean", *(f"{value:.4f}" for value in macro[:3]), str(len(truth))] in table
    for name, row in zip(names, confusion_matrix(truth, guess), strict=True):
        assert [name, *map(str, row)] in table
    assert ["test/accuracy", f"{np.mean(truth == guess):.4f}"] in table
    final = json.loads((run / "summary.json").read_text())["final"]
    for name in ("test/loss", "test/accuracy", "client/accuracy_mean", "client/accuracy_worst10"):
        assert [name, f"{final[name]:.4f}"] in table
    assert "the final model, on 36 test examples of wine" in out


def test_evaluate_lists_clients_worst_first(fedrun, run: Path) -> None:
    out = fedrun(["evaluate", str(run)]).out
    rows = out.partition("Clients, worst first")[2].splitlines()[2:]
    accuracy = [float(row.split()[-2]) for row in rows if row.strip()]
    assert accuracy == sorted(accuracy)
    final = json.loads((run / "summary.json").read_text())["final"]
    assert np.mean(accuracy) == pytest.approx(final["client/accuracy_mean"], abs=1e-4)
    assert accuracy[0] == pytest.approx(final["client/accuracy_worst10"], abs=1e-4)


def test_regression_has_r2_and_mae(fedrun, tmp_path: Path) -> None:
    path = tmp_path / "run"
    words = "data=diabetes model=logistic partition=iid clients.count=3 rounds=3 local.lr=0.01"
    fedrun(f"train -q {words} run.dir={path}")
    out = fedrun(["evaluate", str(path)]).out
    experiment = build(api.Run(path).config)
    with torch.no_grad():
        guess = api.Run(path).model()(experiment.test.x).double().numpy()
    truth = experiment.test.y.double().numpy()
    assert ["test/r2", f"{r2_score(truth, guess):.4f}"] in [
        line.split() for line in out.splitlines()
    ]
    mae = f"{np.abs(truth - guess).mean():.4f}"
    assert ["test/mae", mae] in [line.split() for line in out.splitlines()]
    assert "Confusion" not in out
    final = json.loads((path / "summary.json").read_text())["final"]
    assert "train/accuracy" not in final
    assert {"client/loss_mean", "client/loss_worst10", "test/mae", "test/r2"} <= final.keys()


def test_evaluate_takes_other_data_and_nothing_else(fedrun, run: Path) -> None:
    assert "only data may change, not seed" in fedrun(["evaluate", str(run), "seed=1"], 2).err
    answer = fedrun(["evaluate", str(run), "data=diabetes"], None)
    assert answer.code in (1, 2)
    assert answer.err.count("\n") <= 2


@pytest.mark.parametrize("words", ["", "algorithm=fedprox algorithm.mu=0.5 'model.hidden=[3,4]'"])
def test_show_is_a_config_again(fedrun, folder: Path, words: str) -> None:
    text = fedrun(f"show {words}").out
    (folder / "shown.yaml").write_text(text)
    assert fedrun("show config=shown.yaml").out == text
    if words:
        values = yaml.safe_load(text)
        assert values["algorithm"] == {**values["algorithm"], "name": "fedprox", "mu": 0.5}
        assert values["model"]["hidden"] == [3, 4]


def test_list_names_every_choice(fedrun) -> None:
    out = fedrun("list").out
    for group in choices.groups():
        assert re.search(rf"^{group} ", out, re.MULTILINE)
        for choice in choices.choices(group):
            assert re.search(rf"\b{choice}\b", out)
            assert choices.doc(group, choice)[:40] in out


@pytest.mark.parametrize("group", choices.groups())
def test_list_group_names_every_option_with_its_meaning(fedrun, group: str) -> None:
    from fedrun.experiment.bind import options_of

    out = fedrun(f"list {group}").out
    for choice in choices.choices(group):
        assert f"{group}={choice}" in out
        for option in options_of(group, choice).values():
            assert f"{choices.where(group, choice)}.{option.name}" in out
            assert option.doc, f"{group}={choice}: {option.name} has no line in the docstring"


def test_list_config(fedrun) -> None:
    out = fedrun("list config").out
    for name in choices.config_names():
        assert re.search(rf"^{name}  fedrun ", out, re.MULTILINE)


def test_partition_shows_the_runs_own_hash(fedrun, run: Path) -> None:
    out = fedrun(f"partition {WINE}").out
    facts = json.loads((run / "partition.json").read_text())
    assert facts["sha256"] in out
    assert facts["rule"] in out


def test_version_and_help(fedrun) -> None:
    assert fedrun("--version").out == f"fedrun {package.__version__}\n"
    out = fedrun("--help").out
    for command in ("train", "resume", "evaluate", "show", "list", "partition"):
        assert re.search(rf"\b{command}\b", out)
        assert "Usage" in fedrun(f"{command} -h").out


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm", **more}


def test_a_terminal_shows_a_live_view(folder: Path) -> None:
    mine, theirs = pty.openpty()
    words = [sys.executable, "-m", "fedrun", "train", *WINE.split(), "rounds=30"]
    with subprocess.Popen(
        words, stdout=theirs, stderr=subprocess.PIPE, env=environment()
    ) as process:
        os.close(theirs)
        seen = b""
        while True:
            try:
                part = os.read(mine, 4096)
            except OSError:  # the terminal is closed
                break
            if not part:
                break
            seen += part
        error = process.stderr.read().decode()
    os.close(mine)
    assert process.returncode == 0, error
    assert error == ""
    assert b"\x1b[" in seen
    assert re.search(rb"round \d+/30", seen)
    assert re.search(rb"s left, [\d,.]+ clients/s", seen)
    assert "train loss" in seen.decode()
    assert b"all rounds done" in seen


@pytest.mark.slow
def test_a_reader_who_leaves_makes_no_noise(fedrun, folder: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "fedrun", "train", *WINE.split(), "rounds=400", "run.dir=run"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(),
    ) as process:  # fmt: skip
        process.stdout.readline()
        process.stdout.close()
        error = process.stderr.read().decode()
    assert error == ""
    assert process.returncode == 1
    assert json.loads((folder / "run/manifest.json").read_text())["status"] == "interrupted"
    latest = (folder / "run/checkpoints/latest").read_text()
    assert len((folder / "run/metrics.jsonl").read_text().splitlines()) == int(latest[6:])


@pytest.mark.slow
def test_a_terminal_without_unicode(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "fedrun", "train", "data=wine", "model=logistic", "rounds=3"]
    ascii_only = {**environment(), "PYTHONIOENCODING": "latin-1"}
    answer = subprocess.run(words, capture_output=True, text=True, env=ascii_only, check=False)
    assert answer.returncode == 0, answer.stderr
    assert "course" in answer.stdout
    assert "?" not in answer.stdout
