"""How little a short run waits: what is imported, and what Python's collector does meanwhile."""

import gc
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fedrun.cli.collector import at_rest, at_work

# Each takes longer to import than everything of ours together.
SLOW = ["sklearn", "scipy", "pandas", "sympy", "torch._dynamo", "torch._inductor"]

RUN = """
import atexit, sys
atexit.register(lambda: print("imported:", sorted({slow} & set(sys.modules))))
sys.argv = {argv}
{patch}
from fedrun.cli.app import main
main()
"""


def answer(argv: list[str], patch: str = "", slow: list[str] = SLOW) -> list[str]:
    """The lines of the program in a process of its own; the last one tells what it imported."""
    code = RUN.format(slow=set(slow), argv=["fedrun", *argv], patch=patch)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_a_default_run_imports_nothing_slow_but_pytorch(folder: Path):
    lines = answer(["train", "-q", "rounds=1", "run.dir=here"], slow=[*SLOW, "torch"])
    assert lines == ["here", "imported: ['torch']"]


@pytest.mark.parametrize("words", [["--help"], ["list"], ["train", "--help"], ["reproduce"]])
def test_help_and_list_import_no_arrays(words: list[str]):
    lines = answer(words, slow=[*SLOW, "torch", "numpy", "hydra"])
    assert lines[-1] == "imported: []"


@pytest.mark.slow
def test_training_is_collected_but_not_what_was_imported():
    patch = (
        "import gc, fedrun.experiment.run as run\n"
        "def train(*_, **__):\n"
        "    print(gc.isenabled(), gc.get_freeze_count() > 100_000)\n"
        "    sys.exit()\n"
        "run.train = train"
    )
    assert answer(["train"], patch)[0] == "True True"


@pytest.fixture
def collecting() -> Iterator[None]:
    yield
    gc.unfreeze()
    gc.enable()


@pytest.mark.usefixtures("collecting")
def test_the_collector_rests_until_the_work_begins():
    with at_rest():
        assert not gc.isenabled()
        at_work()
        assert gc.isenabled()
        assert gc.get_freeze_count() > 0


@pytest.mark.usefixtures("collecting")
def test_a_callers_collector_is_left_alone():
    before = gc.get_freeze_count()
    at_work()
    assert (gc.isenabled(), gc.get_freeze_count()) == (True, before)
