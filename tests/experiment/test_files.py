"""A file is whole or not there."""

import errno
import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedrun.core.option import RunError
from fedrun.experiment import files


def test_a_file_is_replaced_as_a_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "a.json"
    files.write_bytes(file, b"old")
    seen = []
    real = Path.replace

    def replace(self: Path, target: Path) -> Path:
        seen.append((self.read_bytes(), file.read_bytes()))
        return real(self, target)

    monkeypatch.setattr(Path, "replace", replace)
    files.write_bytes(file, b"new")
    assert seen == [(b"new", b"old")]
    assert file.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("where", ["fsync", "replace"])
def test_a_failure_keeps_the_old_bytes_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    file = tmp_path / "a.json"
    files.write_bytes(file, b"old")

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(*((os, "fsync") if where == "fsync" else (Path, "replace")), fail)
    with pytest.raises(OSError, match="No space"):
        files.write_bytes(file, b"new")
    assert file.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [file]


def test_json_is_strict(tmp_path: Path) -> None:
    for value in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="JSON"):
            files.json_line({"a": value})
        with pytest.raises(ValueError, match="JSON"):
            files.write_json(tmp_path / "a.json", {"a": value})
    assert not list(tmp_path.iterdir())


@given(st.dictionaries(st.text(), st.floats(allow_nan=False, allow_infinity=False) | st.text()))
def test_a_line_is_one_line_and_reads_back(record: dict[str, object]) -> None:
    line = files.json_line(record)
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert json.loads(line) == record


def test_append_writes_all_of_it() -> None:
    class Slow:
        content = b""

        def write(self, view: memoryview) -> int:
            self.content += bytes(view[:3])
            return min(3, len(view))

    slow = Slow()
    files.append(slow, b"0123456789")  # type: ignore[arg-type]
    assert slow.content == b"0123456789"


def test_damaged_json_is_named(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    for content, words in ((b"{", "a.json is damaged"), (b"[1]", "no JSON object"),
                           (b"\xff", "a.json is damaged")):  # fmt: skip
        file.write_bytes(content)
        with pytest.raises(RunError, match=words):
            files.read_json(file)
    file.unlink()
    for read in (files.read_json, files.read_json_lines):
        with pytest.raises(RunError, match=r"a\.json is missing"):
            read(file)
    file.write_bytes(b'{"a": 1}\n{"a": 2\n')
    with pytest.raises(RunError, match=r"damaged at line 2"):
        files.read_json_lines(file)
    file.write_bytes(b'{"a": 1}\n7\n')
    with pytest.raises(RunError, match=r"damaged at line 2: it is no JSON object"):
        files.read_json_lines(file)
    file.write_bytes(b'{"a": "\xe2\x80\xa8"}\n')  # a line separator within a line
    assert files.read_json_lines(file) == [{"a": "\u2028"}]
