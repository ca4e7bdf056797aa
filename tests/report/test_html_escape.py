"""Whatever stands in a run directory comes out as text: the page's structure does not depend on it.

A page of tame words and a page of wild ones must have the same elements with the same attributes in
the same order, and the wild words must be found again in its texts.
"""

import json
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fedrun.cli.report import question
from fedrun.experiment.config_text import dump
from fedrun.report.page.content import gather
from fedrun.report.page.page import page
from fedrun.report.page.results import as_data

WILD = [
    "</title><script>alert(1)</script>", '" onload="alert(1)', "' onmouseover='alert(1)",
    "</script><script>alert(1)</script>", "<!--", "]]>", "</style><style>*{display:none}",
    "&lt;b&gt;", "{{ 7 * 7 }}{% raw %}", "<svg/onload=alert(1)>", "javascript:alert(1)",
    "\u202egnitartlifxe", "\u2028\u2029", "naïve 試験 🙂", "x" * 5000, "@NAME<b>", "\\", "%s%n",
    "<img src=//example.org/x>",
]  # fmt: skip
OFTEN = 8  # of them are tried each time, the others with -m slow


class Structure(HTMLParser):
    """Elements with the names of their attributes; and all texts, also those of attributes.

    Of letters in pictures there may be more or fewer: names stand where there is room for them.
    """

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, ...]] = []
        self.texts: list[str] = []
        self.handlers: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        names = [name for name, _ in attrs]
        if tag == "text":
            assert set(names) <= {"x", "y", "class", "text-anchor"}
        else:
            self.elements.append((tag, *names))
        self.texts += [value for _, value in attrs if value]
        self.handlers += [name for name, _ in attrs if name.startswith("on")]

    def handle_endtag(self, tag):
        if tag != "text":
            self.elements.append((f"/{tag}",))

    def handle_data(self, data):
        self.texts.append(data)


def make(folder: Path, made_run, word: str) -> Path:
    """Two groups of runs, and one that is left out, whose every free text is this word."""
    shutil.rmtree(folder, ignore_errors=True)
    for at in range(3):
        run = made_run(folder / f"run{at}", [0.1, 0.2 + at / 10], seed=at % 2)
        values = {
            "rounds": 2, "seed": at % 2, "name": word, "run": {"root": word},
            "data": {"name": "digits", "option": word}, "model": {"name": word},
            "algorithm": {"name": "fedavg", "weights": "ab"[at % 2] + word},
            "local": {"name": "sgd", "lr": 0.1},
        }  # fmt: skip
        (run / "config.yaml").write_text(dump(values), encoding="utf-8")
        facts = json.loads((run / "manifest.json").read_text())
        facts |= {"command": f"fedrun train {word}", "engine": {"how": word}, "model": word,
                  "config": {"sha256": word}, "ended": word,
                  "partition": {"rule": word, "sha256": word}}  # fmt: skip
        (run / "manifest.json").write_text(json.dumps(facts))
        lines = [
            {"round": at, "test/accuracy": 0.1 * at, f"client/accuracy@{word}": 0.5,
             "comm/up_bytes": at, f"test/{word}": 0.5}
            for at in (1, 2)
        ]  # fmt: skip
        (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        holds = {"rule": word, "clients": 2, "classes": [word, "b" + word],
                 "names": [word, "b" + word], "train": [[1, 2], [3, 4]]}  # fmt: skip
        (run / "partition.json").write_text(json.dumps(holds))
        part = {"figure": "accuracy", "values": [0.1, 0.2], "confusion": [[1, 2], [3, 4]]}
        kept = {"schema": 1, "model": word, "classes": [word, "b" + word], "global": part}
        (run / "evaluation.json").write_text(json.dumps(kept))
        (run / "summary.json").write_text(json.dumps({"measured": {word: word}, "rounds": 2}))
    made_run(folder / "failed", [0.1], status="failed", config={"rounds": 3},
             manifest={"error": word})  # fmt: skip
    (folder / "sweep.json").write_text(json.dumps({"schema": 1, "command": [word], "cells": []}))
    return folder


def read(folder: Path, title: str) -> tuple[str, Structure]:
    asked = question(None, "last", None, None, False, title, False)
    html = page(gather([folder], asked), [folder])
    html.encode()
    return html, Structure(html)


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("wild") / "runs"


@pytest.fixture(scope="module")
def tame(place: Path, made_run) -> Structure:
    return read(make(place, made_run, "tame"), "tame")[1]


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.text(st.characters(exclude_categories=["Cs", "Cc", "Zs", "Zl", "Zp"]), min_size=1))
def test_any_text_leaves_the_structure_as_it_is(place, made_run, tame, word):
    same_structure(place, made_run, tame, word)


@pytest.mark.parametrize(
    "word",
    [pytest.param(word, id=str(at), marks=[pytest.mark.slow] * (at >= OFTEN))
     for at, word in enumerate(WILD)],
)  # fmt: skip
def test_wild_texts_leave_the_structure_as_it_is(place: Path, made_run, tame, word: str):
    found = same_structure(place, made_run, tame, word)
    assert any(word in text for text in found.texts)


def same_structure(place: Path, made_run, tame: Structure, word: str) -> Structure:
    html, found = read(make(place, made_run, word), word)
    assert found.elements == tame.elements
    assert found.handlers == []
    assert html.count("<script") == sum(element[0] == "script" for element in tame.elements)
    return found


def test_data_for_the_script_end_no_script_and_come_back_whole():
    for word in WILD:
        text = str(as_data({"name": word}))
        assert not set("<>&\u2028\u2029") & set(text)
        assert json.loads(text) == {"name": word}
