"""What a page says of runs: all of it from their files."""

import json
import re
from itertools import pairwise
from pathlib import Path

import pytest

from fedrun.core.option import ConfigError
from fedrun.report.collect import collect
from fedrun.report.collect_run import read_records
from fedrun.report.comparison import compare
from fedrun.report.comparison_measure import Question, read_at
from fedrun.report.table_layout import table


def test_the_table_is_that_of_compare(two: Path, read):
    _, _, found = read(two, target=0.55)
    records, _ = read_records(collect([two]).runs, unfinished=False)
    expected = table(compare(records, Question(None, read_at("last"), 0.55)))
    assert found.rows["results"] == [expected.heads, *expected.rows]
    assert expected.caption in found.texts["results"]
    assert "fedavg minus fedprox: -0.1000" in found.texts["results"]


def test_what_differs_and_what_is_the_same(two: Path, read):
    _, _, found = read(two)
    words = " ".join(found.texts["question"].split())
    assert "What differs algorithmfedavg, fedprox seed0, 1, 2 What is the same" in words
    assert "localsgd (lr 0.1)" in words
    assert "6 runs in 2 groups over 3 seeds. Best mean: fedprox." in found.texts[""]


def test_bytes_by_hand(two: Path, read):
    _, _, found = read(two)
    # three rounds of 100 bytes up and 300 down
    assert found.rows["communication"][1] == ["fedavg", "0.0003", "0.0009", "0.0012", "0.0004"]
    assert "All groups send about the same" in found.texts["communication"]


def test_the_curve_against_bytes_where_groups_send_differently(two: Path, made_run, read, furnish):
    more = {"comm/up_bytes": [500, 1000, 1500]}
    furnish(made_run(two / "scaffold", [0.1, 0.2, 0.3], algorithm="scaffold", more=more))
    _, html, found = read(two)
    assert "test/accuracy by MB sent" in html
    assert "All groups send about the same" not in found.texts["communication"]


def test_clients_confusion_and_holdings_are_those_of_the_files(two: Path, read):
    content, html, found = read(two)
    assert [row for row in found.rows["confusion"] if row[0] == "dog"] == [["dog", "3", "3"]] * 2
    assert "dog taken for cat (3)" in found.texts["confusion"]
    assert "12 test examples, 3 runs together" in found.texts["confusion"]
    assert (
        "3 clients hold 16 training examples: the smallest 4, the median 5, the largest 7."
        in (found.texts["clients"])
    )
    assert html.count('class="dot"') == 2 * 3 + 2 * 9  # each run, and each of its clients
    assert content.notes == []


def test_a_single_run_has_its_figures_last_and_best(tmp_path, made_run, read, furnish):
    more = {"train/loss": [2.0, 1.0, 1.5], "client/accuracy_sd": [0.3, 0.1, 0.2]}
    furnish(made_run(tmp_path / "a", [0.5, 0.9, 0.7], more=more))
    _, html, found = read(tmp_path / "a")
    assert ["test/accuracy", "0.7000", "0.9000", "2"] in found.rows["results"]
    assert ["test/loss", "0.3000", "0.1000", "2"] in found.rows["results"]
    assert ["client/accuracy_sd", "0.2000", "0.1000", "2"] in found.rows["results"]
    assert ["train/loss", "1.5000", "", ""] in found.rows["results"]
    assert "<h1>a</h1>" in html


def test_how_to_repeat(two: Path, read):
    run = two / "fedavg0" / "manifest.json"
    facts = json.loads(run.read_text())
    run.write_text(
        json.dumps({**facts, "command": "fedrun train 'a=[1,2]'", "git": {"commit": "c0"}})
    )
    sweep = {"schema": 1, "command": ["seed=0,1,2", "model.hidden=[8]"], "cells": []}
    (two / "sweep.json").write_text(json.dumps(sweep))
    _, _, found = read(two)
    words = found.texts["repeat"]
    assert "fedrun sweep seed=0,1,2 'model.hidden=[8]'" in words
    assert "fedrun train 'a=[1,2]'" in words
    assert "c0" in words
    assert (two / "fedavg0" / "config.yaml").read_text() in words
    assert "have seeds 1, 2" in words
    assert str(two / "fedavg0") not in found.texts["runs"]  # nobody's home


def test_more_groups_than_colours_have_the_best_in_colour(tmp_path, made_run, read):
    for at in range(12):
        made_run(tmp_path / f"{at:02d}", [0.1, 0.5 + at / 100], lr=0.1 + at / 100)
    content, html, _ = read(tmp_path)
    assert [method.look for method in content.methods] == [None] * 4 + list(range(8))
    assert "4 others" in html
    assert "In colour: the groups that end best." in html


def test_the_same_runs_give_the_same_bytes(two: Path, read):
    assert read(two)[1] == read(two)[1]


def test_nothing_from_outside_can_be_asked_for(two: Path, read):
    _, html, _ = read(two)
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', html)[1]
    assert policy.startswith("default-src 'none'; style-src 'unsafe-inline';")
    places = re.findall(r'(?:\b(?:href|src|action)=|url\()["\']?([^"\')>\s]+)', html)
    assert set(places) > {"data:,", "#results"}
    assert all(place.startswith(("#", "data:,")) for place in places), places
    assert "@import" not in html


def test_pictures_are_told_to_those_who_do_not_see_them(two: Path, read):
    _, html, _ = read(two)
    pictures = re.findall(
        r"<svg(?![^>]*aria-hidden)[^>]*>(<title.*?</title>)?(<desc.*?</desc>)?", html
    )
    assert len(pictures) == 5
    assert all(title and words for title, words in pictures)
    assert html.count('role="img"') == len(pictures)
    ids = re.findall(r'\bid="([^"]+)"', html)
    assert len(ids) == len(set(ids))
    levels = [int(level) for level in re.findall(r"<h(\d)", html)]
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_a_users_mistakes_are_told(two: Path, read):
    with pytest.raises(ConfigError, match="did you mean"):
        read(two, metric="test/acuracy")
    with pytest.raises(ConfigError, match="no run has the key"):
        read(two, by=["algoritm"])
    (two / "none").mkdir()
    with pytest.raises(ConfigError, match="no runs found"):
        read(two / "none")


def test_the_title_is_the_name_or_says_what_is_compared(tmp_path: Path, made_run, read):
    for at, method in enumerate(("fedavg", "fedprox")):
        made_run(tmp_path / str(at), [0.1], algorithm=method, config={"name": "train"})
    assert "<h1>fedavg, fedprox on digits</h1>" in read(tmp_path)[1]
    assert "<h1>mine</h1>" in read(tmp_path, title="mine")[1]


def test_hashes_that_differ_are_told_in_short(two: Path, read):
    for at, run in enumerate(sorted(two.iterdir())):
        facts = json.loads((run / "manifest.json").read_text())
        facts |= {
            "partition": {"sha256": f"{at % 2}" * 64},
            "data": {"name": "d", "sha256": "a" * 64},
        }
        (run / "manifest.json").write_text(json.dumps(facts))
    words = read(two)[2].texts["repeat"]
    assert "0" * 12 + ", " + "1" * 12 + "\n" in words
    assert "a" * 64 in words
