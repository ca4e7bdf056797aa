"""The forms of the table: the same numbers, and marks that each form would misread."""

import csv
import json
import re
from io import StringIO
from pathlib import Path

import pytest

from fedrun.report.collect import collect
from fedrun.report.collect_run import read_records
from fedrun.report.comparison import Comparison, compare
from fedrun.report.comparison_measure import Question, read_at
from fedrun.report.comparison_pair import automatic
from fedrun.report.table_latex import as_latex
from fedrun.report.table_layout import pair_lines, rounds, table
from fedrun.report.table_markdown import as_markdown
from fedrun.report.table_plain import as_csv, as_json


def comparison(folder: Path, at: str = "last", target: float | None = None) -> Comparison:
    records, _ = read_records(collect([folder]).runs, unfinished=False)
    return compare(records, Question(None, read_at(at), target))


@pytest.fixture
def two(tmp_path: Path, made_run) -> Path:
    for seed in (0, 1, 2):
        made_run(tmp_path / f"a{seed}", [0.5, 0.6 + seed / 100], seed=seed)
        more = {"client/accuracy_worst10": [0.1, 0.2], "privacy/epsilon": [1, 2.5]}
        own = {"algorithm": "my_own|x", "more": more}
        made_run(tmp_path / f"b{seed}", [0.5, 0.7 + seed / 50], seed=seed, **own)
    return tmp_path


def test_headings_and_cells(two: Path):
    found = table(comparison(two, target=0.65))
    assert found.caption == ("test/accuracy, last round; mean, sd and 95 % t-interval over seeds")
    assert found.heads == ["algorithm", "mean", "sd", "95 % interval", "n", "at round", "MB",
                           "rounds to 0.65", "MB to 0.65", "worst 10 %", "epsilon"]  # fmt: skip
    # 4.3027 * 0.01 / sqrt(3) = 0.0248; 800 bytes
    assert found.rows[0] == ["fedavg", "0.6100", "0.0100", "0.5852 to 0.6348", "3", "2", "0.0008",
                             "0 of 3 reached", "-", "-", "-"]  # fmt: skip
    assert found.rows[1] == ["my_own|x", "0.7200", "0.0200", "0.6703 to 0.7697", "3", "2",
                             "0.0008", "2", "0.0008", "0.2000", "2.5000"]  # fmt: skip


def test_every_form_for_people_bounds_epsilon(tmp_path: Path, made_run):
    for seed in (0, 1, 2):
        made_run(tmp_path / f"{seed}", [0.5, 0.6], seed=seed,
                 more={"privacy/epsilon": [1, 20.125023545908295]})  # fmt: skip
    found = comparison(tmp_path)
    forms = as_markdown(table(found), []), as_latex(table(found), [])
    assert table(found).rows[0][-1] == "20.1251"
    assert all("20.1251" in text and "20.1250" not in text for text in forms)
    assert "20.125023545908295" in as_csv(found)  # for machines: in full
    records, _ = read_records(collect([tmp_path]).runs, unfinished=False)
    asked = compare(records, Question("privacy/epsilon", read_at("last"), None))
    assert table(asked).rows[0][1] == "20.1251"


@pytest.mark.parametrize(
    ("at", "words"),
    [("best", "best round"), ("mean_last:2", "mean of the last 2 rounds"),
     ("round:1", "round 1"), ("first_to:0.55", "first round with 0.55")],
)  # fmt: skip
def test_the_header_names_the_protocol(two: Path, at: str, words: str):
    found = table(comparison(two, at))
    assert found.caption.startswith(f"test/accuracy, {words};")
    assert ("best round" in found.heads) == (at == "best")
    assert "at round" not in found.heads or not at.startswith(("best", "first"))


def test_one_run_has_no_interval(tmp_path: Path, made_run):
    made_run(tmp_path / "a", [0.5])
    assert table(comparison(tmp_path)).rows == [["all", "0.5000", "-", "-", "1", "1", "0.0004"]]


def test_csv_reads_back_in_full(two: Path):
    found = comparison(two, target=0.65)
    rows = list(csv.DictReader(StringIO(as_csv(found))))
    assert [row["algorithm"] for row in rows] == ["fedavg", "my_own|x"]
    for row, group in zip(rows, found.groups, strict=True):
        figure = group.figures["value"]
        for name in ("mean", "sd", "low", "high"):
            assert float(row[name]) == getattr(figure, name)
        assert (row["metric"], row["at"], row["n"]) == ("test/accuracy", "last", "3")
        assert float(row["bytes"]) == 800
    assert [row["target_rounds"] for row in rows] == ["", "2.0"]


def test_a_config_key_and_a_column_of_one_name_both_stand_in_csv(tmp_path: Path, made_run):
    made_run(tmp_path / "a", [0.5, 0.6])
    made_run(tmp_path / "b", [0.5, 0.6, 0.7])
    header = as_csv(comparison(tmp_path)).splitlines()[0].split(",")
    assert "rounds" in header
    assert "round" in header
    assert len(header) == len(set(header))


def test_json_has_the_runs_behind_each_number(two: Path):
    found = comparison(two)
    pair = automatic(found)
    content = json.loads(json.dumps(as_json(found, pair), allow_nan=False))
    assert [group["name"] for group in content["groups"]] == ["fedavg", "my_own|x"]
    runs = content["groups"][1]["runs"]
    assert [run["seed"] for run in runs] == [0, 1, 2]
    assert content["groups"][1]["mean"] == pytest.approx(sum(run["value"] for run in runs) / 3)
    assert content["groups"][1]["columns"]["epsilon"]["mean"] == 2.5
    assert content["paired"]["seeds"] == [0, 1, 2]
    assert content["paired"]["difference"]["mean"] == pytest.approx(-0.11)
    assert as_json(found, None)["paired"] is None


def test_markdown(two: Path):
    text = as_markdown(table(comparison(two)), ["a|note"])
    lines = text.splitlines()
    cells = [re.split(r"(?<!\\)\|", line) for line in lines if line.startswith("|")]
    assert len({len(row) for row in cells}) == 1
    assert r"my\_own\|x" in lines[5]
    assert lines[3].startswith("| --- | ---: |")
    assert lines[-1] == r"- a\|note"


def test_latex(two: Path):
    found = comparison(two)
    pair = automatic(found)
    assert pair is not None
    text = as_latex(table(found), pair_lines(pair, found))
    assert r"\caption{test/accuracy, last round; mean, sd and 95 \% t-interval over seeds}" in text
    assert r"my\_own|x & 0.7200 & 0.0200 & 0.6703 to 0.7697 & 3 &" in text
    body = text[text.index(r"\toprule") : text.index(r"\bottomrule")]
    rows = [line for line in body.splitlines() if line.endswith(r"\\")]
    columns = re.search(r"begin\{tabular\}\{(\w+)\}", text)
    assert columns is not None
    assert {line.count(" & ") + 1 for line in rows} == {len(columns[1])}
    assert text.count("{") == text.count("}")
    assert all(line.startswith("% ") for line in text.splitlines()[:3])


@pytest.mark.parametrize(
    ("text", "escaped"),
    [("a_b", r"a\_b"), ("50 % & #1", r"50 \% \& \#1"), ("-0.5 to 0.5", "$-$0.5 to 0.5"),
     ("1e-05", "1e-05"), (r"\input{x}", r"\textbackslash{}input\{x\}"), ("~^", None)],
)  # fmt: skip
def test_latex_marks(text: str, escaped: str | None):
    from fedrun.report.table_latex import escaped as escape

    assert escape(text) == (escaped or r"\textasciitilde{}\textasciicircum{}")


def test_the_pair_in_words(two: Path):
    found = comparison(two)
    pair = automatic(found)
    assert pair is not None
    lines = pair_lines(pair, found)
    # Differences -0.10, -0.11, -0.12: sd 0.01, t = -0.11 / (0.01 / sqrt(3)) = -19.05, p = 0.0027
    assert lines[0] == (
        "fedavg minus my_own|x: -0.1100, 95 % interval -0.1348 to -0.0852, "
        "over 3 shared seeds (0, 1, 2)"
    )
    assert lines[1] == "paired t test p = 0.003; exact Wilcoxon signed-rank test p = 0.250"


def test_rounds_to_a_tenth():
    assert [rounds(2.0), rounds(2.25), rounds(120.0)] == ["2", "2.2", "120"]
