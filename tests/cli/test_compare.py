"""`fedrun compare`: every statistic printed, recomputed from metrics.jsonl; files; mistakes."""

import csv
import json
import re
import subprocess
import sys
import time
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

TRAINED = {"fedavg": [], "fedprox": ["algorithm=fedprox", "algorithm.mu=1"]}
SEEDS = (0, 1, 2)


@pytest.fixture(scope="module")
def trained(fedrun, tmp_path_factory) -> Path:
    """Two methods over three seeds, really trained."""
    folder = tmp_path_factory.mktemp("trained")
    for name, words in TRAINED.items():
        for seed in SEEDS:
            fedrun.small(folder / f"{name}{seed}", *words, f"seed={seed}", "rounds=5")
    return folder


@pytest.fixture
def two(folder: Path, made_run) -> Path:
    for seed in SEEDS:
        made_run(folder / "r" / f"a{seed}", [0.5, 0.6 + seed / 100], seed=seed)
        made_run(folder / "r" / f"b{seed}", [0.4, 0.7], seed=seed, algorithm="fedprox")
    return folder / "r"


def lines_of(trained: Path, name: str) -> list[list[dict]]:
    runs = [trained / f"{name}{seed}" / "metrics.jsonl" for seed in SEEDS]
    return [[json.loads(line) for line in run.read_text().splitlines()] for run in runs]


def point(lines: list[dict], at: str) -> tuple[float, dict]:
    """A run's figure and the line it is of, without any of the code that is tested."""
    accuracy = [line["test/accuracy"] for line in lines]
    if at == "last":
        return accuracy[-1], lines[-1]
    if at == "best":
        place = int(np.argmax(accuracy))
        return accuracy[place], lines[place]
    if at == "mean_last:3":
        return float(np.mean(accuracy[-3:])), lines[-1]
    if at == "round:2":
        return accuracy[1], lines[1]
    place = next(index for index, value in enumerate(accuracy) if value >= 0.2)
    return float(lines[place]["round"]), lines[place]


@pytest.mark.parametrize("at", ["last", "best", "mean_last:3", "round:2", "first_to:0.2"])
def test_every_statistic_is_that_of_the_metrics(fedrun, trained: Path, at: str) -> None:
    answer = fedrun(["compare", str(trained), "--at", at, "--target", "0.2", "--json"])
    content = json.loads(answer.out)
    values = {}
    for group, name in zip(content["groups"], TRAINED, strict=True):
        points = [point(lines, at) for lines in lines_of(trained, name)]
        figures = values[name] = np.array([value for value, _ in points])
        assert (group["name"], group["n"]) == (name, len(SEEDS))
        assert group["mean"] == pytest.approx(figures.mean(), abs=1e-12)
        assert group["sd"] == pytest.approx(figures.std(ddof=1), abs=1e-12)
        if figures.std() > 0:
            low, high = stats.t.interval(0.95, 2, figures.mean(), stats.sem(figures))
            assert (group["low"], group["high"]) == (pytest.approx(low), pytest.approx(high))
        expected = {
            "bytes": [line["comm/up_bytes"] + line["comm/down_bytes"] for _, line in points],
            "target_rounds": [point(lines, "first_to:0.2")[0] for lines in lines_of(trained, name)],
        }
        expected["target_bytes"] = [
            line["comm/up_bytes"] + line["comm/down_bytes"]
            for _, line in (point(lines, "first_to:0.2") for lines in lines_of(trained, name))
        ]
        worst = [line["client/accuracy_worst10"] for _, line in points]
        if at == "mean_last:3":
            worst = [np.mean([line["client/accuracy_worst10"] for line in lines[-3:]])
                     for lines in lines_of(trained, name)]  # fmt: skip
        expected["worst10"] = worst
        if not at.startswith("first_to"):
            expected["round"] = [line["round"] for _, line in points]
        assert group["columns"].keys() >= expected.keys()
        for column, numbers in expected.items():
            assert group["columns"][column]["mean"] == pytest.approx(np.mean(numbers)), column
            sd = np.std(numbers, ddof=1)
            assert group["columns"][column]["sd"] == pytest.approx(sd, abs=1e-9), column
    one, two = values.values()
    pair = content["paired"]
    assert (pair["first"], pair["second"], pair["seeds"]) == ("fedavg", "fedprox", list(SEEDS))
    assert pair["difference"]["mean"] == pytest.approx(float(np.mean(one - two)), abs=1e-12)
    if np.ptp(one - two) > 1e-9:
        student = stats.ttest_rel(one, two)
        assert pair["t_p"] == pytest.approx(student.pvalue, rel=1e-6)
        exact = stats.wilcoxon(np.round(one - two, 12), method="auto")
        assert 0.25 <= pair["wilcoxon_p"] <= 1
        if np.all(one != two) and len(np.unique(np.abs(np.round(one - two, 12)))) == 3:
            assert pair["wilcoxon_p"] == pytest.approx(exact.pvalue)


def test_the_table_prints_what_json_holds(fedrun, trained: Path) -> None:
    content = json.loads(fedrun(["compare", str(trained), "--json"]).out)
    out = fedrun(["compare", str(trained)]).out
    assert out.startswith("test/accuracy, last round; mean, sd and 95 % t-interval over seeds")
    for group in content["groups"]:
        row = next(line for line in out.splitlines() if line.startswith(group["name"]))
        cells = re.split(r"\s{2,}", row.strip())
        assert cells[1:5] == [
            f"{group['mean']:.4f}", f"{group['sd']:.4f}",
            f"{group['low']:.4f} to {group['high']:.4f}", "3",
        ]  # fmt: skip
    assert "fedavg minus fedprox" in out
    assert "caution: 3 seeds are few" in out


def test_all_forms_at_once(fedrun, two: Path, folder: Path) -> None:
    pytest.importorskip("matplotlib")
    words = "--csv t.csv --markdown t.md --latex t.tex --plot t.svg --x bytes --band range"
    answer = fedrun(f"compare {two} {words}")
    rows = list(csv.DictReader(StringIO((folder / "t.csv").read_text())))
    assert [row["mean"] for row in rows] == ["0.61", "0.7"]
    assert "| fedavg | 0.6100 |" in (folder / "t.md").read_text()
    assert r"fedavg & 0.6100 &" in (folder / "t.tex").read_text()
    assert (folder / "t.svg").read_text().startswith("<?xml")
    assert "t.svg: Line: mean over seeds (n = 3); band: lowest to highest run." in answer.out


@pytest.mark.parametrize("form", ["--csv -", "--markdown -", "--latex -", "--json"])
def test_what_goes_to_stdout_stands_there_alone(fedrun, two: Path, made_run, form: str) -> None:
    made_run(two / "late", [0.5], status="failed")
    answer = fedrun(f"compare {two} {form}")
    assert "unfinished" in answer.err
    assert "t-interval over seeds\n\nalgorithm" not in answer.out
    starts = {"--csv -": "algorithm,metric", "--markdown -": "test/accuracy, last",
              "--latex -": "% fedavg minus", "--json": "{"}  # fmt: skip
    assert answer.out.startswith(starts[form])


def test_a_narrow_terminal_gets_further_columns_below(two: Path) -> None:
    code = (
        "import os, pty, sys\n"
        "os.environ.update(COLUMNS='60', TERM='xterm', NO_COLOR='1')\n"
        f"sys.exit(pty.spawn([sys.executable, '-m', 'fedrun', 'compare', {str(two)!r}]) >> 8)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    text = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout.decode()).replace("\r", "")
    lines = text.splitlines()
    heads = [at for at, line in enumerate(lines) if line.startswith("algorithm")]
    assert len(heads) == 2
    for head in heads:
        assert [line.split()[0] for line in lines[head + 1 : head + 3]] == ["fedavg", "fedprox"]
    assert max(len(line) for line in lines[1:]) <= 60
    assert "MB" in lines[heads[1]]


def test_by_sort_and_paired(fedrun, two: Path, made_run) -> None:
    made_run(two / "c", [0.9], algorithm="scaffold")
    out = fedrun(f"compare {two} --sort value --paired fedprox fedavg").out
    names = [line.split()[0] for line in out.splitlines()[3:6]]
    assert names == ["scaffold", "fedprox", "fedavg"]
    assert "fedprox minus fedavg: 0.0900" in out
    out = fedrun(f"compare {two} --by seed").out
    assert "over runs" in out
    assert "averaged over algorithm: fedavg, fedprox, scaffold" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("nowhere", "nowhere is not there; name run directories"),
        (".", "no runs found in"),
        ("r --metric test/acuracy", "did you mean 'test/accuracy'?"),
        ("r --at lst", "--at lst is not known (accepted: last, best, mean_last:K"),
        ("r --sort valu", "did you mean 'value'?"),
        ("r --by algoritm", "did you mean 'algorithm'?"),
        ("r --paired fedavg fedprx", "did you mean 'fedprox'?"),
        ("r --plot t.jpg", "must end in .svg, .png or .pdf"),
        ("r --plot nowhere/t.svg", "there is no folder nowhere"),
        ("r --csv nowhere/t.csv", "--csv nowhere/t.csv: there is no folder nowhere"),
        ("r --csv - --json", "--csv - and --json both write to stdout"),
        ("r --x bytes", "--x has no effect without --plot FILE"),
        ("r --band range", "--band has no effect without --plot FILE"),
        ("r --plot t.svg --x epsilon", "none of these runs has recorded privacy budget"),
    ],
)
def test_mistakes_are_told_in_a_line_or_two_and_leave_nothing(
    fedrun, two: Path, folder: Path, words: str, message: str
) -> None:
    if words == ".":
        (folder / "empty").mkdir()
        words = "empty"
    before = sorted(folder.rglob("*"))
    answer = fedrun(f"compare {words}", code=2)
    assert message in answer.err
    assert answer.err.startswith("fedrun: ")
    assert answer.err.count("\n") <= 2
    assert answer.out == ""
    assert sorted(folder.rglob("*")) == before


def test_it_waits_for_neither_pytorch_nor_pandas(two: Path, folder: Path) -> None:
    code = (
        "import sys\n"
        f"sys.argv = ['fedrun', 'compare', {str(two)!r}, '--csv', 't.csv']\n"
        "import atexit\n"
        "atexit.register(lambda: print(sorted({'torch', 'pandas', 'hydra', 'scipy.stats'} "
        "& set(sys.modules))))\n"
        "from fedrun.cli.app import main\n"
        "main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def many(folder: Path, made_run, runs: int) -> float:
    """The seconds that comparing so many runs of 200 rounds takes, each line as long as ours."""
    columns = {f"client/figure_number_{at}": [0.123456789012345] * 200 for at in range(10)}
    for at in range(runs):
        accuracy = [0.5 + (at % 7 + round / 100) / 100 for round in range(200)]
        algorithm = ("fedavg", "fedprox", "scaffold", "fednova")[at % 4]
        made_run(folder / str(at), accuracy, seed=at // 4, algorithm=algorithm, more=columns)
    began = time.perf_counter()
    command = [sys.executable, "-m", "fedrun", "compare", str(folder), "--target", "0.6"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "fednova" in done.stdout
    return time.perf_counter() - began


def test_a_hundred_runs_take_seconds(folder: Path, made_run) -> None:
    assert many(folder / "many", made_run, 100) < 5


@pytest.mark.slow
def test_a_thousand_runs_take_less_than_ten(folder: Path, made_run) -> None:
    assert many(folder / "many", made_run, 1000) < 10
