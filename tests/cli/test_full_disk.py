"""A disk that is full, or may not be written to: a clear line, and the run can be gone on with."""

import os
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import typer
from rich.console import Console

from fedrun.cli import errors, events, progress
from fedrun.experiment import run as runs
from fedrun.experiment.compose import compose

WORDS = ["data=wine", "model.hidden=[64]", "clients.count=5", "rounds=8", "checkpoint.every=2"]


@contextmanager
def limited(size: int) -> Iterator[None]:
    """No file of this process may grow beyond this many bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def failing(fedrun, size: int, words: list[str], code: int) -> str:
    with limited(size):
        answer = fedrun(words, code)
    assert answer.err.startswith("fedrun: ")
    assert answer.err.count("\n") <= 2
    return answer.err


@pytest.fixture(scope="module")
def undisturbed(fedrun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("undisturbed") / "run"
    fedrun(["train", "-q", *WORDS, f"run.dir={path}"])
    return path


def test_full_before_it_begins(fedrun, folder: Path, undisturbed: Path) -> None:
    error = failing(fedrun, 500, ["train", "-q", *WORDS, "run.root=runs"], 2)
    assert "cannot write the run directory" in error
    assert "File too large" in error
    assert not any(path.is_file() for path in folder.rglob("*"))


# Each limit is met first by another file: clients.jsonl grows to 10 kB, a checkpoint has 4 kB.
@pytest.mark.parametrize(("size", "met_in"), [(3500, "checkpoint"), (6000, "logs")])
def test_full_on_the_way(
    fedrun, folder: Path, undisturbed: Path, assert_same_bytes, manifest, size: int, met_in: str
) -> None:
    path = folder / "run"
    assert (undisturbed / "config.yaml").stat().st_size < size
    assert (undisturbed / "clients.jsonl").stat().st_size > 6000
    state = undisturbed / "checkpoints/round_000008/state.safetensors"
    assert (state.stat().st_size > size) is (met_in == "checkpoint")
    error = failing(fedrun, size, ["train", "-q", *WORDS, f"run.dir={path}"], 1)
    assert f"writing to {path} failed after round" in error
    assert "File too large" in error
    assert f"fedrun resume {path}" in error
    found = {file.name for file in (path / "checkpoints").iterdir()}
    assert not any(name.startswith(".") for name in found)
    assert any(name.startswith("round_") for name in found) is (met_in == "logs")
    assert not (path / "model.safetensors").exists()
    failing(fedrun, size, ["resume", "-q", str(path)], 1)
    fedrun(["resume", "-q", str(path)])
    assert_same_bytes(path, undisturbed)


def test_the_model_does_not_fit(
    fedrun, folder: Path, undisturbed: Path, assert_same_bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fedrun.experiment import directory

    real, path = directory.write_bytes, folder / "run"

    def full(file: Path, content: bytes) -> None:
        if file.name == "model.safetensors":
            raise OSError(28, "No space left on device")
        real(file, content)

    with monkeypatch.context() as patch:
        patch.setattr(directory, "write_bytes", full)
        answer = fedrun(["train", "-q", *WORDS, f"run.dir={path}"], 1)
    assert "failed after round 8: No space left on device" in answer.err
    fedrun(["resume", "-q", str(path)])
    assert_same_bytes(path, undisturbed)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("view", ["lines", "json"])
def test_a_full_stdout_is_not_the_runs_fault(
    fedrun, folder: Path, undisturbed: Path, assert_same_bytes, manifest, view: str,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    path = folder / "run"
    with Path("/dev/full").open("w") as full, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", full)  # its descriptor is given away
        seen = events.Events(full) if view == "json" else progress.Lines(Console(file=full))
        with pytest.raises(SystemExit, match="1"):
            runs.train(compose("train", [*WORDS, f"run.dir={path}"]), seen)
    assert capsys.readouterr().err == (
        "fedrun: writing to stdout failed: No space left on device; "
        f"go on with: fedrun resume {path}\n"
    )
    assert manifest(path)["status"] == "interrupted"
    fedrun(["resume", "-q", str(path)])
    assert_same_bytes(path, undisturbed)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("buffering", [-1, 1])
def test_a_full_stdout_is_named(buffering: int, monkeypatch, capsys) -> None:
    with Path("/dev/full").open("w", buffering=buffering) as full:
        monkeypatch.setattr(sys, "stdout", full)
        with pytest.raises(typer.Exit) as ended, errors.told():
            print("figures")
        monkeypatch.undo()
    assert ended.value.exit_code == 1
    assert capsys.readouterr().err == "fedrun: stdout: No space left on device\n"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written_to(fedrun, folder: Path) -> None:
    (folder / "closed").mkdir(mode=0o500)
    answer = fedrun(["train", *WORDS, "run.root=closed"], 2)
    assert "cannot write the run directory" in answer.err
    assert "Permission denied" in answer.err
