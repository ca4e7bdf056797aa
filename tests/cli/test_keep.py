"""`checkpoint.keep`: how many checkpoints there are, at every time and under every later wish."""

from pathlib import Path

import pytest


def kept(run: Path) -> list[int]:
    return sorted(int(path.name[6:]) for path in (run / "checkpoints").glob("round_*"))


@pytest.mark.slow
def test_the_newest_are_kept_also_when_a_run_goes_on(fedrun, folder: Path) -> None:
    words = ["algorithm=scaffold", "clients.per_round=2", "rounds=5", "checkpoint.keep=3"]
    run = fedrun.small(folder / "run", *words)
    assert kept(run) == [3, 4, 5]
    fedrun("resume run rounds=6 checkpoint.keep=2 -q")
    assert kept(run) == [5, 6]
    fedrun("resume run checkpoint.keep=1 -q")  # no round is left to be run
    assert kept(run) == [6]
    assert "checks hold" in fedrun("audit run").out


@pytest.mark.parametrize("value", ["0", "null", "1.5"])
def test_at_least_one_is_kept(fedrun, value: str) -> None:
    error = fedrun(f"train data=wine checkpoint.keep={value}", 2).err
    assert f"checkpoint.keep={value}" in error
    assert "a whole number of at least 1" in error
