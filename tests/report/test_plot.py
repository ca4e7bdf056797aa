"""Curves against numpy, and the pictures that come of them."""

import re
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from scipy import stats

from fedrun.core.option import ConfigError
from fedrun.report.collect import collect
from fedrun.report.collect_run import read_records
from fedrun.report.comparison import Comparison, compare
from fedrun.report.comparison_curve import curves
from fedrun.report.comparison_measure import Question, read_at

pytest.importorskip("matplotlib")

from fedrun.report import plot

CURVES = np.array([[0.2, 0.5, 0.7], [0.4, 0.6, 0.65], [0.3, 0.7, 0.75]])


def comparison(folder: Path, target: float | None = None) -> Comparison:
    records, _ = read_records(collect([folder]).runs, unfinished=False)
    return compare(records, Question(None, read_at("last"), target), curves=True)


@pytest.fixture
def two(tmp_path: Path, made_run) -> Path:
    for seed, curve in enumerate(CURVES):
        seconds = {"system/seconds": [1.0 + seed, 2.0 + seed, 4.0 + seed]}
        made_run(tmp_path / f"a{seed}", curve.tolist(), seed=seed, more=seconds)
        made_run(tmp_path / f"b{seed}", (curve / 2).tolist(), seed=seed, algorithm="fedprox")
    return tmp_path


def test_mean_and_interval_per_round(two: Path):
    found = curves(comparison(two), "rounds", "interval")[0]
    assert (found.name, found.n, found.cut) == ("fedavg", 3, False)
    assert found.x.tolist() == [1, 2, 3]
    assert found.mean == pytest.approx(CURVES.mean(0))
    low, high = stats.t.interval(0.95, 2, CURVES.mean(0), stats.sem(CURVES))
    assert found.low == pytest.approx(low)
    assert found.high == pytest.approx(high)


def test_range_and_axes(two: Path):
    found = comparison(two)
    by_range = curves(found, "bytes", "range")[1]
    assert by_range.low == pytest.approx(CURVES.min(0) / 2)
    assert by_range.high == pytest.approx(CURVES.max(0) / 2)
    assert by_range.x == pytest.approx(np.array([400, 800, 1200]) / 1e6)
    seconds = curves(found, "seconds", "range")
    assert [curve.name for curve in seconds] == ["fedavg"]  # the other has recorded none
    assert seconds[0].x == pytest.approx([2, 3, 5])
    with pytest.raises(ConfigError, match="--x epsilon: none of these runs has recorded"):
        curves(found, "epsilon", "range")


def test_rounds_that_not_all_have_scored_are_left_out_and_said(tmp_path: Path, made_run):
    rounds = {"config": {"rounds": 4}}
    made_run(tmp_path / "a", [0.1, 0.2, 0.3, 0.4], seed=0, **rounds)
    stopped = made_run(tmp_path / "b", [0.3, None, 0.5], seed=1, **rounds)
    (stopped / "summary.json").write_text('{"rounds": 3}')
    found = curves(comparison(tmp_path), "rounds", "interval")[0]
    assert found.x.tolist() == [1, 3]
    assert found.mean == pytest.approx([0.2, 0.4])
    words = plot.draw(comparison(tmp_path), tmp_path / "x.svg", "rounds")
    assert "Only rounds that all runs of a group have scored." in words


def test_one_run_has_no_band(tmp_path: Path, made_run):
    made_run(tmp_path / "a", [0.1, 0.2])
    found = curves(comparison(tmp_path), "rounds", "interval")[0]
    assert found.low.tolist() == found.mean.tolist() == found.high.tolist()
    assert plot.draw(comparison(tmp_path), tmp_path / "x.svg", "rounds") == "One run each."


@pytest.mark.parametrize(
    ("name", "start"),
    [("x.svg", b"<?xml"), ("x.png", b"\x89PNG"), ("x.pdf", b"%PDF"), ("X.PNG", b"\x89PNG")],
)
def test_forms_are_the_same_bytes_each_time(two: Path, name: str, start: bytes):
    contents = []
    for _ in range(2):
        words = plot.draw(comparison(two), two / name, "rounds")
        contents.append((two / name).read_bytes())
    assert contents[0] == contents[1]
    assert contents[0].startswith(start)
    assert words == "Line: mean over seeds (n = 3); band: 95 % t-interval of the mean."


def test_the_caption_says_what_the_band_is(two: Path, tmp_path: Path, made_run):
    words = plot.draw(comparison(two), two / "x.svg", "seconds", "range")
    assert words == (
        "Line: mean over seeds (n = 3); band: lowest to highest run. x is the mean too. "
        "Not drawn, for lack of seconds: fedprox."
    )
    for seed in (0, 1):
        made_run(tmp_path / "two" / str(seed), [0.1, 0.2], seed=seed)
    words = plot.draw(comparison(tmp_path / "two"), two / "x.svg", "rounds")
    assert "band: lowest to highest run" in words


def test_what_is_drawn(two: Path):
    found = comparison(two, target=0.6)
    lines = curves(found, "rounds", "interval")
    picture = plot.figure(found, lines, "rounds", "words")
    axes = picture.axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("round", "test accuracy")
    assert axes.lines[0].get_ydata() == pytest.approx(CURVES.mean(0))
    names = [text.get_text() for text in axes.get_legend().get_texts()]
    assert names == ["fedavg", "fedprox", "target 0.6"]
    assert len(axes.collections) == 2  # bands
    assert picture.get_supxlabel() == "words"


def test_twelve_groups_are_told_apart(tmp_path: Path, made_run):
    for at in range(12):
        made_run(tmp_path / str(at), [0.1, 0.2 + at / 100], lr=0.1 + at / 100)
    found = comparison(tmp_path)
    picture = plot.figure(found, curves(found, "rounds", "range"), "rounds", "words")
    looks = {(line.get_color(), str(line.get_linestyle())) for line in picture.axes[0].lines}
    assert len(looks) == 12
    plot.draw(found, tmp_path / "x.svg", "rounds")
    # Names stand beside the curves, inside the picture.
    picture.savefig(tmp_path / "x.png")
    box = picture.axes[0].get_legend().get_window_extent()
    assert box.x0 > picture.axes[0].get_window_extent().x1
    assert box.x1 <= picture.bbox.x1


def test_colours_are_told_apart_by_the_colour_blind_and_from_white():
    def light(colour: str) -> float:
        parts = np.array([int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)])
        linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    assert len(set(plot.COLOURS)) == 7
    assert all(1.05 / (light(colour) + 0.05) > 2 for colour in plot.COLOURS)  # to white


def test_an_svg_is_whole_and_asks_for_nothing_from_outside(two: Path):
    plot.draw(comparison(two), two / "x.svg", "rounds")
    text = (two / "x.svg").read_text()
    ElementTree.fromstring(text)
    assert not re.search(r'(href|src)="(?!#)', text)


def test_names_that_cannot_be_drawn(tmp_path: Path, monkeypatch):
    with pytest.raises(ConfigError, match=r"must end in \.svg, \.png or \.pdf"):
        plot.check(tmp_path / "x.jpg")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ConfigError, match=r"pip install 'fedrun\[plot\]'"):
        plot.check(tmp_path / "x.svg")
