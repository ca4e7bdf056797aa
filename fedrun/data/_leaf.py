"""LEAF's JSON files: train/*.json and test/*.json, each with users, num_samples and
user_data{user: {x: rows, y: targets}} (Caldas et al., "LEAF: a benchmark for federated settings",
2018)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fedrun.core.dataset import Array
from fedrun.core.option import ConfigError
from fedrun.data._bytes import read_bytes

LAYOUT = "train/*.json and test/*.json, or *.json of both together"


@dataclass(frozen=True)
class Rows:
    """`x` float32 [N, ...], `y` numbers [N, ...] or text [N], `user` the owner of each row."""

    x: Array
    y: Array
    user: list[str]

    def keep(self, mask: Array) -> Rows:
        rows = np.flatnonzero(mask).tolist()
        return Rows(self.x[rows], self.y[rows], [self.user[row] for row in rows])


def read_leaf(name: str, root: str | None) -> tuple[Rows, Rows | None]:
    """The training rows and the test rows; None where the folder has no test half."""
    if root is None:
        raise ConfigError(
            f"data={name} needs data.root=FOLDER with LEAF's JSON files ({LAYOUT}), as the scripts"
            " of https://github.com/TalwalkarLab/leaf write them"
        )
    folder = Path(root).expanduser()
    if not folder.is_dir():
        raise ConfigError(f"data.root={root} is no folder; it must hold {LAYOUT}")
    for place in (folder, folder / "data"):
        train, test = _files(place / "train"), _files(place / "test")
        if train:
            return _half(train), _half(test) if test else None
        if test:
            raise ConfigError(f"{place} has test/*.json and no train/*.json")
    for place in (folder, folder / "all_data", folder / "data" / "all_data"):
        if files := _files(place):
            return _half(files), None
    raise ConfigError(f"data.root={folder} holds no JSON files; needed: {LAYOUT}")


def _files(folder: Path) -> list[Path]:
    found = [*folder.glob("*.json"), *folder.glob("*.json.gz")]
    return sorted(path for path in found if path.is_file())


def _half(paths: list[Path]) -> Rows:
    """The rows of all files, in the order of the files' names and then of their users."""
    x, y, user = [], [], []
    place: dict[str, Path] = {}
    shape: tuple[int, ...] | None = None
    for path in paths:
        for owner, (rows, targets) in _read(path).items():
            if owner in place:
                raise ConfigError(
                    f"{path}: user {owner!r} stands in {place[owner].name} too; keep the files of"
                    " one sampling only"
                )
            place[owner] = path
            if not len(rows):
                continue
            shape = shape or (rows.shape[1:], targets.shape[1:])
            if (rows.shape[1:], targets.shape[1:]) != shape:
                raise ConfigError(
                    f"{path}: user {owner!r} has x and y of shape {rows.shape[1:]} and"
                    f" {targets.shape[1:]}, those before it {shape[0]} and {shape[1]}"
                )
            x.append(rows)
            y.append(targets)
            user += [owner] * len(rows)
    if not user:
        raise ConfigError(f"{paths[0].parent}: the JSON files hold no row")
    if len({targets.dtype.kind == "U" for targets in y}) > 1:
        raise ConfigError(f"{paths[0].parent}: some targets are text and some are numbers")
    return Rows(np.concatenate(x), np.concatenate(y), user)


def _read(path: Path) -> dict[str, tuple[Array, Array]]:
    raw = read_bytes(path)
    try:
        content = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path} is no readable JSON: {error}") from error
    data = content.get("user_data") if isinstance(content, dict) else None
    if not isinstance(data, dict):
        raise ConfigError(f"{path} has no 'user_data'; LEAF writes users, num_samples, user_data")
    users = content.get("users", list(data))
    sizes = content.get("num_samples", [None] * len(users) if isinstance(users, list) else None)
    if not isinstance(users, list) or not isinstance(sizes, list) or len(users) != len(sizes):
        raise ConfigError(f"{path}: 'users' and 'num_samples' must be lists of the same length")
    if sorted(map(str, users)) != sorted(data):
        raise ConfigError(f"{path}: 'users' and 'user_data' do not name the same users")
    return {
        str(owner): _user(path, str(owner), data[str(owner)], size)
        for owner, size in zip(users, sizes, strict=True)
    }


def _user(path: Path, owner: str, entry: Any, size: int | None) -> tuple[Array, Array]:
    where = f"{path}: user {owner!r}"
    if not isinstance(entry, dict) or not {"x", "y"} <= entry.keys():
        raise ConfigError(f"{where} has no x and y")
    x, y = _array(where, "x", entry["x"]), _array(where, "y", entry["y"])
    if x.dtype.kind == "U":
        _refuse_text(where, x, y)
    if x.ndim == 1:
        x = x[:, None]
    if len(x) != len(y) or size not in (None, len(x)):
        raise ConfigError(
            f"{where}: x has {len(x)} rows, y has {len(y)}"
            + ("" if size is None else f", num_samples says {size}")
        )
    with np.errstate(over="ignore"):  # becomes inf, which is refused by name
        x = x.astype(np.float32)
    if not np.isfinite(x).all() or (y.dtype.kind == "f" and not np.isfinite(y).all()):
        raise ConfigError(f"{where}: a number is not finite in float32")
    return x, y


def _refuse_text(where: str, x: Array, y: Array) -> None:
    first = str(x.flat[0])
    if x.ndim == 1 and y.dtype == "U1" and len(set(np.char.str_len(x).tolist())) == 1:
        raise ConfigError(f"{where}: x is text; data=shakespeare reads LEAF's characters")
    if x.ndim > 1:
        found = f"{x[0].size} texts such as"
    else:
        picture = first.lower().endswith((".jpg", ".jpeg", ".png"))
        found = "the name of a picture," if picture else "a text such as"
    raise ConfigError(
        f"{where}: a row of x is {found} {first[:40]!r}; data=leaf and data=femnist read numbers"
    )


def _array(where: str, key: str, rows: Any) -> Array:
    try:
        array = np.array(rows if isinstance(rows, list) else None)
    except (ValueError, OverflowError) as error:  # rows of unequal length
        raise ConfigError(f"{where}: the rows of {key} differ in shape") from error
    if array.ndim == 0 or array.dtype.kind not in "biufU":
        raise ConfigError(f"{where}: {key} must be a list of numbers")
    return array
