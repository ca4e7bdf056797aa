"""The command line, driven inside this process: PyTorch is imported once for all tests."""

import json
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from fedrun.cli.app import build_app

# Five unequal clients, four features, three classes: a round takes some milliseconds.
SMALL = ["data=wine", "model=logistic", "clients.count=5", "rounds=3", "checkpoint.every=1"]


@dataclass(frozen=True)
class Answer:
    code: int
    out: str
    err: str


class Fedrun:
    """fedrun("train rounds=2") -> what the program answers; words may be given as a list too."""

    def __init__(self, app: typer.Typer) -> None:
        self.app = app

    def __call__(self, words: str | list[str], code: int | None = 0) -> Answer:
        words = shlex.split(words) if isinstance(words, str) else words
        result = CliRunner().invoke(self.app, words, env={"COLUMNS": "200"})
        unforeseen = result.exception is not None and not isinstance(result.exception, SystemExit)
        if unforeseen:
            raise result.exception  # a user would see a traceback
        if code is not None:
            assert result.exit_code == code, (words, result.stdout, result.stderr)
        return Answer(result.exit_code, result.stdout, result.stderr)

    def small(self, path: Path, *more: str, code: int = 0) -> Path:
        """Train the small federation in this folder."""
        self(["train", "-q", *SMALL, *more, f"run.dir={path}"], code)
        return path


@pytest.fixture(scope="session")
def fedrun() -> Fedrun:
    return Fedrun(build_app())


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder."""
    place = tmp_path / "work"
    place.mkdir()
    monkeypatch.chdir(place)
    return place


@pytest.fixture(scope="session")
def manifest() -> Callable[[Path], dict[str, Any]]:
    return lambda run: json.loads((run / "manifest.json").read_text())


@pytest.fixture(scope="session")
def assert_same_bytes() -> Callable[[Path, Path], None]:
    """Two runs agree in everything that does not depend on the clock."""

    def check(run: Path, other: Path, ledger: bool = True) -> None:
        for name in ("model.safetensors", "clients.jsonl", "audit.jsonl")[: 2 + ledger]:
            assert (run / name).read_bytes() == (other / name).read_bytes(), name
        assert untimed(run) == untimed(other)

    return check


def untimed(run: Path) -> list[list[tuple[str, Any]]]:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [[(k, v) for k, v in line.items() if not k.startswith("time/")] for line in lines]
