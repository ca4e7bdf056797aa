"""The published numbers: that each could be run (`-m slow`), and those that take less than ten
minutes, run (`-m nightly`).

Real data: the folder in FEDRUN_TEST_DATA, with a folder for each set, or `../shared/data`. The runs
are kept in FEDRUN_TEST_RUNS, where that is given, and then not run again.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from fedrun.experiment import choices
from fedrun.experiment.build import build
from fedrun.experiment.compose import compose
from fedrun.report.baseline import Baseline, find
from fedrun.report.reproduction import placed

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("FEDRUN_TEST_DATA") or ROOT.parent / "shared" / "data")
MINUTES = 10


def needs_files(baseline: Baseline) -> bool:
    data = baseline.layer.choices.get("data", "digits")
    return "root" in choices.chosen_by("data", data)["data"]


@pytest.mark.nightly
@pytest.mark.timeout(120 * MINUTES)
@pytest.mark.parametrize("baseline", [b for b in find(["*"]) if b.minutes < MINUTES],
                         ids=lambda baseline: baseline.name)  # fmt: skip
def test_a_published_number_comes_out(baseline: Baseline, tmp_path: Path) -> None:
    """A stated miss must still be one: should it come out one day, its file is to say so."""
    if needs_files(baseline) and not DATA.is_dir():
        pytest.skip(f"needs data files; {DATA} is not there (FEDRUN_TEST_DATA=FOLDER)")
    runs = os.environ.get("FEDRUN_TEST_RUNS") or tmp_path
    words = ["reproduce", baseline.name, f"data.root={DATA}", f"run.root={runs}", "--json"]
    result = reproduced(words)
    while " is in use: " in str(result["words"]):  # a test beside this one is at a run of both
        time.sleep(1)
        result = reproduced(words)
    assert (result["verdict"] not in ("within", "measured")) == bool(baseline.expect.miss), result[
        "words"
    ]


def reproduced(words: list[str]) -> dict[str, Any]:
    answer = subprocess.run(
        [sys.executable, "-m", "fedrun", *words],
        capture_output=True, text=True, cwd=ROOT, check=False,
    )  # fmt: skip
    assert answer.stdout, answer.stderr
    (result,) = json.loads(answer.stdout)
    return dict(result)


@pytest.mark.slow
@pytest.mark.parametrize("baseline", [b for b in find(["*"]) if not b.accounting],
                         ids=lambda baseline: baseline.name)  # fmt: skip
def test_a_published_number_could_be_run(baseline: Baseline) -> None:
    """Built with its data, in each setting, and not trained: nothing in it is refused."""
    if needs_files(baseline) and not DATA.is_dir():
        pytest.skip(f"needs data files; {DATA} is not there (FEDRUN_TEST_DATA=FOLDER)")
    for setting in baseline.settings[:1]:
        build(compose(baseline.config, placed(baseline, [*setting, f"data.root={DATA}"])).values)
