"""`fedrun.sweep` and a sweep that is loaded: rows, frames, and what a notebook shows."""

import json
import sys
from html import escape
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import pytest

import fedrun
from fedrun.experiment.sweep_picture import COLOURS, html
from fedrun.experiment.sweep_record import write_sweep

EVIL = '<script>alert("1")</script>'


@pytest.fixture(autouse=True)
def no_pandas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)


@pytest.fixture
def folder(tmp_path: Path, made_run) -> Path:
    """Two finished cells, one that stopped, one that failed, one that waits."""
    runs = {
        "a": made_run(tmp_path / "a", [0.5, 0.75], lr=0.1),
        "b": made_run(tmp_path / "b", [0.5, 0.25], lr=0.2),
        "c": made_run(tmp_path / "c", [0.5], lr=0.3, status="interrupted"),
    }
    for name in "ab":
        last = json.loads((runs[name] / "metrics.jsonl").read_text().splitlines()[-1])
        final = {key: value for key, value in last.items() if key != "round"}
        summary = {"rounds": 2, "final": final, "best": {}, "time/seconds": 1.5}
        (runs[name] / "summary.json").write_text(json.dumps(summary))
    cells = [
        {"overrides": ["local.lr=0.1"], "path": runs["a"], "status": "finished"},
        {"overrides": ["local.lr=0.2"], "path": runs["b"], "status": "running"},  # was not told
        {"overrides": ["local.lr=0.3"], "path": runs["c"], "status": "running"},
        {"overrides": [f"data.name={EVIL}"], "path": tmp_path / "d", "status": "failed",
         "reason": f"no {EVIL}"},
        {"overrides": ["local.lr=0.5"], "path": tmp_path / "e", "status": "waiting"},
    ]  # fmt: skip
    place = tmp_path / "sweep"
    place.mkdir()
    write_sweep(place, ["x"], [{**cell, "config": str(at)} for at, cell in enumerate(cells)])
    return place


def loaded(folder: Path) -> fedrun.Sweep:
    found = fedrun.load(folder)
    assert isinstance(found, fedrun.Sweep)
    return found


def parsed(text: str) -> ElementTree.Element:
    return ElementTree.fromstring(text.replace("<br>", "<br/>"))


def test_a_row_a_cell(folder: Path) -> None:
    rows = loaded(folder).table
    assert [row["status"] for row in rows] == [
        "finished", "finished", "interrupted", "failed", "waiting",
    ]  # fmt: skip
    assert [row["rounds"] for row in rows] == [2, 2, 1, 0, 0]
    assert [row.get("local.lr") for row in rows] == [0.1, 0.2, 0.3, None, 0.5]
    assert rows[0]["test/accuracy"] == 0.75
    assert rows[0]["time/seconds"] == 1.5
    assert "test/accuracy" not in rows[2]  # only what a finished run came to
    assert [row["reason"] for row in rows] == [None, None, None, f"no {EVIL}", None]
    assert rows[1]["run"] == str(folder.parent / "b")


def test_all_rounds_of_all_cells(folder: Path) -> None:
    lines = loaded(folder).metrics
    assert [(line["local.lr"], line["round"], line["test/accuracy"]) for line in lines] == [
        (0.1, 1, 0.5), (0.1, 2, 0.75), (0.2, 1, 0.5), (0.2, 2, 0.25), (0.3, 1, 0.5),
    ]  # fmt: skip
    assert {line["cell"] for line in lines} == {"local.lr=0.1", "local.lr=0.2", "local.lr=0.3"}


def test_a_line_that_is_being_written_is_left_out(folder: Path) -> None:
    with (folder.parent / "c" / "metrics.jsonl").open("a") as file:
        file.write('{"round": 2, "test/acc')
    assert len(loaded(folder).metrics) == 5


def test_runs_failures_and_frames(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sweep = loaded(folder / "sweep.json")
    assert sweep == loaded(folder)
    assert sweep.runs == [fedrun.Run(folder.parent / name) for name in "ab"]
    assert sweep.failures == {f"data.name={EVIL}": f"no {EVIL}"}
    monkeypatch.setitem(sys.modules, "pandas", SimpleNamespace(DataFrame=lambda rows: ("df", rows)))
    assert sweep.table[0] == sweep.metrics[0] == "df"


def test_a_notebook_shows_a_table_and_the_courses(folder: Path) -> None:
    text = loaded(folder)._repr_html_()
    assert "5 cells: 2 finished, 1 interrupted, 1 failed, 1 waiting" in text
    assert EVIL not in text
    assert "<script" not in text
    assert text.count("&lt;script&gt;") == 2  # its value, its reason
    assert "http" not in text.replace('xmlns="http://www.w3.org/2000/svg"', "")
    tree = parsed(text)
    lines = list(tree.iter("{http://www.w3.org/2000/svg}polyline"))
    assert [line.get("stroke") for line in lines] == list(COLOURS[:2])
    assert [line[0].text for line in lines] == ["local.lr=0.1", "local.lr=0.2"]
    marks = [row[0].find("span") for row in tree.iter("tr")][1:]
    shown = [None if mark is None else mark.get("style") for mark in marks]
    assert shown == [*(f"color:{colour}" for colour in COLOURS[:2]), None, None, None, None]
    heads = [cell.text for cell in next(tree.iter("tr"))]
    figures = ["test/accuracy", "test/loss"]
    assert heads == [None, "local.lr", "data.name", "status", "rounds", *figures]


def test_names_of_courses_are_escaped() -> None:
    row = {"cell": EVIL, "status": EVIL, "rounds": 2, "reason": None, EVIL: 1, "run": EVIL}
    lines = [{"round": at, "test/loss": 1.0 / at} for at in (1, 2)]
    text = html(EVIL, [(row, lines)])
    assert EVIL not in text
    assert "<script" not in text
    assert f"<title>{escape(EVIL)}</title>" in text
    parsed(text)


def test_many_courses_are_pale_and_many_rows_cut(tmp_path: Path, made_run) -> None:
    runs = [made_run(tmp_path / f"r{at}", [0.1, at / 100], lr=at, status="interrupted")
            for at in range(70)]  # fmt: skip
    cells = [{"overrides": [f"local.lr={at}"], "path": run, "status": "waiting", "config": str(at)}
             for at, run in enumerate(runs)]  # fmt: skip
    (tmp_path / "sweep").mkdir()
    write_sweep(tmp_path / "sweep", [], cells)
    text = loaded(tmp_path / "sweep")._repr_html_()
    assert text.count("<polyline") == 60
    assert text.count('stroke-opacity="0.4"') == 61  # the axes too
    assert "and 10 more" in text
    parsed(text)


def test_what_is_no_sweep(tmp_path: Path) -> None:
    (tmp_path / "sweep.json").write_text("{}")
    with pytest.raises(fedrun.RunError, match="damaged"):
        fedrun.load(tmp_path)
    with pytest.raises(TypeError, match="overrides is a list"):
        fedrun.sweep("train", "seed=0,1")
