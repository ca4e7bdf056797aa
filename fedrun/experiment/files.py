"""Files that are whole or not there.

A file is written beside its place, flushed to the disk, then renamed over it, and the folder is
flushed too: a reader sees the old bytes or the new ones, also after a loss of power.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from io import FileIO
from math import isfinite
from pathlib import Path
from typing import Any, BinaryIO

from fedrun.core.option import RunError
from fedrun.core.record import Column, Rows

MEND = (
    "\nBring it back; or delete checkpoints and model.safetensors beside it and resume, "
    "to train the same run again."
)


def write_bytes(path: Path, content: bytes | memoryview[int]) -> None:
    """Replace the file atomically; its bytes are on the disk when this returns."""
    beside = path.with_name(f".{path.name}.part")
    try:
        with beside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as error:
        with suppress(OSError):  # a folder that is read-only refuses this too
            beside.unlink(missing_ok=True)
        error.filename = str(path)  # the file that was asked for
        raise
    sync_folder(path.parent)


def write_json(path: Path, content: Any) -> None:
    write_bytes(path, (json.dumps(content, indent=2, allow_nan=False) + "\n").encode())


def sync_folder(folder: Path) -> None:
    """Make renames in this folder survive a loss of power; Windows gives folders no handle."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def append(file: BinaryIO | FileIO, content: bytes | memoryview[int]) -> None:
    """Write all of it to an unbuffered file; a full disk is an `OSError`, not a short line."""
    view = memoryview(content)
    while view:
        view = view[file.write(view) :]


def json_line(record: dict[str, Any]) -> bytes:
    """One line of a .jsonl file: compact, NaN refused."""
    return (json.dumps(record, allow_nan=False) + "\n").encode()


def json_lines(rows: Rows) -> bytes:
    """One line for each row, as `json_line` would write it, made column by column."""
    if any(None in column for column in rows.columns.values()):
        return b"".join(map(json_line, rows))
    fields, varying = [], []
    for name, column in rows.columns.items():
        first = column[0]
        if not isinstance(first, float) and column.count(first) == len(column):
            fields.append(f"{json.dumps(name)}: {json.dumps(first)}".replace("%", "%%"))
        else:
            fields.append(f"{json.dumps(name)}: ".replace("%", "%%") + "%s")
            varying.append(_texts(column))
    line = "{" + ", ".join(fields) + "}\n"
    if not varying:
        return (line % () * len(rows)).encode()
    return "".join([line % values for values in zip(*varying, strict=True)]).encode()


def _texts(column: Column) -> list[str]:
    """The JSON of each value of a column, whose values are of one type."""
    if isinstance(column[0], str):
        known = {value: json.dumps(value) for value in set(column)}
        return [known[value] for value in column]
    if type(column[0]) is int:
        return list(map(str, column))
    return json.dumps(column, allow_nan=False)[1:-1].split(", ")


def read_json(path: Path) -> dict[str, Any]:
    """The object that a file holds; a `RunError` where it holds none."""
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise RunError(f"{path} is missing.{MEND}") from error
    except ValueError as error:
        raise RunError(f"{path} is damaged: {error}.{MEND}") from error
    if not isinstance(content, dict):
        raise RunError(f"{path} is damaged: it holds no JSON object.{MEND}")
    return content


def read_json_lines(path: Path) -> list[dict[str, Any]]:
    """The objects of a .jsonl file; a `RunError` that names the first bad line."""
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError as error:
        raise RunError(f"{path} is missing.{MEND}") from error
    records = []
    for number, line in enumerate(lines, start=1):
        try:
            record = json.loads(line)
        except ValueError as error:
            raise RunError(f"{path} is damaged at line {number}: {error}.{MEND}") from error
        if not isinstance(record, dict):
            raise RunError(f"{path} is damaged at line {number}: it is no JSON object.{MEND}")
        records.append(record)
    return records


def read_metrics(run: Path) -> list[dict[str, Any]]:
    """The lines of a run's metrics, all of them numbers; a `RunError` that names the first bad."""
    path = run / "metrics.jsonl"
    records = read_json_lines(path)
    for number, record in enumerate(records, start=1):
        for name, value in record.items():
            if not isinstance(value, int | float) or not isfinite(value):
                raise RunError(
                    f"{path} is damaged at line {number}: {name} is {value!r}, "
                    f"no finite number.{MEND}"
                )
    return records


def sealed(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest with `seal`, the SHA-256 of all the rest of it."""
    body = {key: value for key, value in manifest.items() if key != "seal"}
    text = json.dumps(body, sort_keys=True, allow_nan=False)
    return {**body, "seal": hashlib.sha256(text.encode()).hexdigest()}


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
