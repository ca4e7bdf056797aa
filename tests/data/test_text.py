"""text: windows by hand, what is a symbol, and every mistake a user can make."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedrun.core.dataset import Dataset
from fedrun.core.option import ConfigError
from fedrun.data.text import text


def load(tmp_path: Path, texts: dict[str, str | bytes], **options: Any) -> Dataset:
    folder = tmp_path / "texts"
    folder.mkdir(exist_ok=True)
    for name, content in texts.items():
        (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return text(path=str(folder), **options)


def said(data: Dataset, tokens: np.ndarray) -> str:
    return "".join(data.spec.classes[token] for token in np.ravel(tokens))


def test_windows_by_hand(tmp_path: Path) -> None:
    # 20 characters, of which the last 4 test: 16 give windows of 4 at 0, 3, 6, 9 and 12.
    data = load(tmp_path, {"anna.txt": "abcabcabcabcabcabdab"}, length=3)
    assert data.spec.classes == ("<unknown>", "a", "b", "c")  # by frequency, then by code point
    assert (data.spec.kind, data.spec.vocabulary, data.spec.outputs) == ("tokens", 4, 4)
    assert [said(data, row) for row in data.train.x] == ["abc"] * 5
    assert [said(data, row) for row in data.train.y] == ["bca"] * 5
    # d is in no training half.
    assert [said(data, row) for row in data.test.x] == ["b<unknown>a"]
    assert [said(data, row) for row in data.test.y] == ["<unknown>ab"]
    last = load(tmp_path, {}, length=3, task="classes", stride=1)
    assert (last.spec.kind, last.spec.target_shape, len(last.train)) == ("classes", (), 13)
    assert [said(last, row) for row in last.train.x[:2]] == ["abc", "bca"]
    assert said(last, last.train.y[:3]) == "abc"


def test_each_file_is_a_client_with_its_own_end_held_out(tmp_path: Path) -> None:
    texts = {"b.txt": "x" * 20, "a.txt.gz": gzip.compress(b"y" * 40), "notes.md": "z" * 99}
    data = load(tmp_path, texts, length=3)
    assert data.client_names == ("a", "b")
    assert data.spec.classes == ("<unknown>", "y", "x")
    assert data.train.client is not None
    assert data.test.client is not None
    for half in (data.train, data.test):
        assert half.client is not None
        expected = np.where(half.client[:, None] == 0, 1, 2)
        assert (half.x == expected).all()
    # 32 and 16 characters train, 8 and 4 test.
    assert np.bincount(data.train.client).tolist() == [10, 5]
    assert np.bincount(data.test.client).tolist() == [2, 1]


def test_ways_to_write_the_same(tmp_path: Path) -> None:
    plain = "été\nnoël\n" * 9
    accents = plain.replace("é", "e\u0301").replace("ë", "e\u0308")
    wanted = load(tmp_path, {"a.txt": plain}, length=4)
    assert "é" in wanted.spec.classes
    for other in (accents, plain.replace("\n", "\r\n"), "\ufeff" + plain):
        assert load(tmp_path, {"a.txt": other}, length=4).fingerprint == wanted.fingerprint


def test_words_and_the_most_frequent_of_them(tmp_path: Path) -> None:
    lines = "Don't go, l’été; go!\n" * 10
    data = load(tmp_path, {"a.txt": lines}, unit="word", length=8)
    # Eight words and signs a line.
    assert [data.spec.classes[token] for token in data.train.x[0]] == [
        *("Don't", "go", ",", "l’été", ";", "go", "!", "\n")
    ]
    assert data.spec.vocabulary == 8
    few = load(tmp_path, {}, unit="word", length=8, symbols=3)
    assert few.spec.classes == ("<unknown>", "go", "\n")
    assert few.train.x[0].tolist() == [0, 1, 0, 0, 0, 1, 0, 2]


def test_the_test_half_is_rounded_up_and_not_by_rounding_errors(tmp_path: Path) -> None:
    data = load(tmp_path, {"a.txt": "ab" * 50}, length=1, test_fraction=0.07)
    assert (len(data.train), len(data.test)) == (92, 6)  # of 93 and 7 characters


@pytest.mark.parametrize(
    ("texts", "options", "message"),
    [
        ({}, {}, r"holds no file of .txt, .txt.gz"),
        ({"a.txt": "ab" * 60}, {"length": 200}, r"no example fits into the training .* has 96 ch"),
        ({"a.txt": "ab" * 60}, {}, r"data.length=80: .* the test half .* has 24 characters"),
        ({"a.txt": ""}, {}, r"no example fits into the training half"),
        ({"a.txt": b"caf\xe9"}, {}, r"a.txt is not UTF-8 text: byte 0xe9 at position 3"),
        ({"a.txt": "a\0b"}, {}, r"a.txt is no text: it holds a byte 0 at 1"),
        ({"a.txt": "a", "a.txt.gz": gzip.compress(b"a")}, {}, r"holds a.txt twice"),
        ({"a.txt": "ab" * 60}, {"symbols": 9}, r"data.symbols=9, but .* 2 different symbols"),
    ],
)
def test_mistakes(
    tmp_path: Path, texts: dict[str, str | bytes], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        load(tmp_path, texts, **options)


def test_paths(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"data=text needs data.path=FILE"):
        text()
    with pytest.raises(ConfigError, match=r"data.path=.*absent does not exist"):
        text(path=str(tmp_path / "absent"))
    load(tmp_path, {"one.txt": "abc" * 200})
    assert text(path=str(tmp_path / "texts" / "one.txt")).client_names == ("one",)
