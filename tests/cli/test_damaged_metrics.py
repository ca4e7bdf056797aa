"""What the commands say of runs whose files are cut, altered or gone, and of empty paths."""

import os
import shutil
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def original(fedrun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fedrun.small(tmp_path_factory.mktemp("damaged") / "original")


@pytest.fixture
def run(original: Path, folder: Path) -> Path:
    return shutil.copytree(original, folder / "run")


def put(run: Path, number: int, line: str) -> None:
    """Another line in place of the one of this number."""
    file = run / "metrics.jsonl"
    lines = file.read_text().splitlines()
    lines[number - 1] = line
    file.write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize("value", ["NaN", "Infinity", '"0.5"'])
def test_resume_of_a_finished_run_names_the_damaged_number(fedrun, run: Path, value: str) -> None:
    put(run, 2, f'{{"round": 2, "test/accuracy": {value}}}')
    answer = fedrun("resume run", 1)
    assert "metrics.jsonl is damaged at line 2: test/accuracy is" in answer.err
    assert answer.err.count("\n") <= 2


@pytest.mark.parametrize("command", ["compare", "report"])
def test_the_fault_of_the_only_run_is_named(fedrun, run: Path, command: str) -> None:
    put(run, 3, "{")
    for place in ("run", "."):
        answer = fedrun([command, place], 2)
        assert "metrics.jsonl is damaged at line 3" in answer.err
        assert "none of 0 runs" not in answer.err
    assert not list(run.parent.rglob("*.html"))


@pytest.mark.parametrize("command", ["compare", "report"])
def test_a_run_without_its_end_is_left_out(fedrun, run: Path, command: str, made_run) -> None:
    os.truncate(run / "metrics.jsonl", (run / "metrics.jsonl").stat().st_size - 20)
    words = "left out: run/metrics.jsonl is damaged: it ends at round 2 of 3"
    assert words in fedrun([command, "run"], 2).err
    made_run(run.parent / "whole", [0.5])
    answer = fedrun([command, "run", "whole"])
    assert words in answer.out + answer.err


@pytest.mark.parametrize("command", ["compare", "report"])
def test_a_run_without_its_config_is_named(fedrun, run: Path, command: str) -> None:
    (run / "config.yaml").unlink()
    assert "run is damaged: config.yaml is missing" in fedrun([command, "run"], 2).err


def test_a_list_of_runs_tells_five_faults(fedrun, folder: Path, made_run) -> None:
    for at in range(7):
        (made_run(folder / "runs" / f"r{at}", [0.5]) / "manifest.json").write_text("{")
    lines = [line for line in fedrun("runs").out.splitlines() if "is damaged" in line]
    assert len(lines) == 5
    assert all(line.count("runs/r") == 1 for line in lines)
    assert "and 2 more" in fedrun("runs").out


@pytest.mark.parametrize(
    "words",
    [
        ["compare", ""],
        ["report", ""],
        ["runs", ""],
        ["runs", "", "--prune", "--yes"],
        ["evaluate", ""],
        ["resume", ""],
        ["export", ""],
        ["audit", ""],
    ],
)
def test_an_empty_path_is_refused(fedrun, folder: Path, words: list[str], made_run) -> None:
    made_run(folder / "dead", [], status="failed")
    answer = fedrun(words, 2)
    assert answer.err.startswith("fedrun: an empty path; ")
    assert answer.out == ""
    assert (folder / "dead").is_dir()


@pytest.mark.parametrize("number", ["nan", "inf"])
@pytest.mark.parametrize("command", ["compare", "report"])
def test_a_target_that_is_no_number(
    fedrun, folder: Path, command: str, number: str, made_run
) -> None:
    made_run(folder / "run", [0.5])
    assert f"--target {number} is no finite" in fedrun([command, "run", "--target", number], 2).err
