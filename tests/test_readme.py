"""The README's own words, tried: the algorithm it shows runs as a plugin and as a shipped
choice."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def block(language: str, marker: str) -> str:
    blocks = re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)
    return next(text for text in blocks if marker in text)


def fedrun(folder: Path, *words: str) -> str:
    package = folder if (folder / "fedrun").exists() else ROOT
    environment = {**os.environ, "PYTHONPATH": str(package)}
    answer = subprocess.run(
        [sys.executable, "-m", "fedrun", *words],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    return answer.stdout


@pytest.mark.parametrize("engine", ["eager", pytest.param("stack", marks=pytest.mark.slow)])
def test_readme_algorithm_runs_from_a_users_folder(tmp_path: Path, engine: str) -> None:
    (tmp_path / "fedsplit.py").write_text(block("python", "def fedsplit"))
    words = ["algorithm=fedsplit:fedsplit", "algorithm.step=0.5", f"engine={engine}", "rounds=3"]
    assert "test accuracy" in fedrun(tmp_path, "train", *words, "engine.workers=2")


def test_readme_model_begins_with_the_weights_of_another_run(tmp_path: Path) -> None:
    (tmp_path / "warm.py").write_text(block("python", "def warm"))
    fedrun(tmp_path, "train", "rounds=2", "run.dir=first")
    model = ["model=warm:warm", "model.weights=first/model.safetensors", "run.dir=second"]
    fedrun(tmp_path, "train", "rounds=0", *model)
    saved = [(tmp_path / run / "model.safetensors").read_bytes() for run in ("first", "second")]
    assert saved[0] == saved[1]


@pytest.mark.slow
def test_readme_algorithm_becomes_a_shipped_choice(tmp_path: Path) -> None:
    for part in ("fedrun", "configs"):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "fedrun/algorithm/fedsplit.py").write_text(block("python", "def fedsplit"))
    (tmp_path / "configs/algorithm/fedsplit.yaml").write_text(block("yaml", "name: fedsplit"))
    assert "algorithm.step" in fedrun(tmp_path, "list", "algorithm")
    assert "test accuracy" in fedrun(tmp_path, "train", "algorithm=fedsplit", "rounds=2")


def test_readme_installs_extras_that_there_are_from_the_checkout() -> None:
    known = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    lines = re.findall(r"^pip install (.*\[.*)$", README, re.MULTILINE)
    extras = [re.match(r"-e '\.\[(\w+)\]'", line) for line in lines]
    assert {found and found[1] for found in extras} == {"test", "tensorboard"} <= set(known)


def test_readme_config_composes(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(block("yaml", "fashion_mnist"))
    shown = fedrun(tmp_path, "show", "config=mine.yaml", "local.lr=0.05")
    assert "name: fashion_mnist" in shown
    assert "alpha: 0.1" in shown


def test_readme_error_is_the_programs_own(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "fedrun", "train", "algorithm=fedprox", "algorithm.muu=1"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    answer = subprocess.run(
        words, capture_output=True, text=True, cwd=tmp_path, env=environment, check=False
    )
    assert answer.returncode == 2
    assert answer.stderr.strip() in README
