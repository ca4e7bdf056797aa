"""A split made before, here or elsewhere, read from a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from fedrun.core.dataset import Dataset
from fedrun.core.option import ConfigError
from fedrun.core.partition import Numbers, Partition, Ragged, matched_test, refuse_shared
from fedrun.partition._read import read_json, read_npz


def file(
    dataset: Dataset,
    count: int | None,
    draw: np.random.Generator,
    *,
    path: str | None = None,
    sha256: str | None = None,
) -> Partition:
    """Take who holds what from a file; nothing is drawn.

    path: FILE.npz of `fedrun partition --out` or of a run, or FILE.json with {"client": [rows]}
    sha256: the hash that the partition must have, or its first 12 characters or more (null: any)

    Rule: the one that the file names, so that the hash is the one that `fedrun partition` showed
    when the file was made; `file/rows@1` where it names none. An npz file says which data its row
    numbers mean, by hash, and which hash it has itself; both are checked. A JSON file holds one
    key per client with a list of training rows, or {"train": rows, "test": rows}; without test rows
    the test set is dealt in the mix of the training labels. Rows count from 0. No row may have two
    clients; rows without a client are left out. Row numbers in a client are put in order.
    """
    if path is None:
        raise ConfigError(
            "partition=file needs partition.path=FILE.npz or FILE.json, which is null"
        )
    place = Path(path).expanduser()
    if place.suffix not in (".npz", ".json"):
        raise ConfigError(f"partition.path={path}: accepted is a file that ends in .npz or .json")
    if not place.is_file():
        raise ConfigError(f"partition.path={path}: there is no such file")
    held = read_npz(place) if place.suffix == ".npz" else read_json(place)
    _check_data(path, held.facts, dataset)
    if count is not None and count != len(held.train):
        raise ConfigError(
            f"partition.path={path} has {len(held.train)} clients; leave clients.count out "
            f"(it is {count})"
        )
    train = _checked(path, "training", held.train, len(dataset.train))
    test = (
        matched_test(dataset, train)
        if held.test is None
        else _checked(path, "test", held.test, len(dataset.test))
    )
    names = held.names or Numbers(range(len(train)))
    made = Partition(held.rule, train, test, names, groups=held.groups)
    if held.facts.get("sha256") not in (None, made.fingerprint):
        raise ConfigError(
            f"partition.path={path} is damaged: its rows have hash {made.fingerprint[:12]} and it "
            f"says {str(held.facts['sha256'])[:12]}"
        )
    if sha256 is not None and (len(sha256) < 12 or not made.fingerprint.startswith(sha256)):
        raise ConfigError(
            f"partition.sha256={sha256} (accepted: 12 characters or more): the partition in {path} "
            f"has {made.fingerprint}"
        )
    return made


def _check_data(path: str, facts: dict[str, Any], dataset: Dataset) -> None:
    """Row numbers mean nothing for other rows."""
    data = facts.get("data")
    if not isinstance(data, dict) or data.get("sha256") == dataset.fingerprint:
        return
    if " own_tests/" in str(facts.get("rule")):
        raise ConfigError(
            f"partition.path={path}: its test rows were taken from the clients' own, which a file "
            f"of row numbers cannot say; write it without clients.test_fraction, and give that "
            f"beside partition=file"
        )
    if data.get("changed"):
        raise ConfigError(
            f"partition.path={path}: rule {facts.get('rule')} changes the data itself, which a "
            f"file of row numbers cannot; choose that partition with the same options and seed"
        )
    raise ConfigError(
        f"partition.path={path} was made for other data: {data.get('name')}, "
        f"{str(data.get('sha256'))[:12]}, {data.get('train')} training rows;\n"
        f"data={dataset.name} is {dataset.fingerprint[:12]}, {len(dataset.train)} training rows"
    )


def _checked(path: str, which: str, held: Ragged, rows: int) -> Ragged:
    """In range, nobody's twice, ascending within a client."""
    ragged = Ragged(held.rows[np.lexsort((held.rows, held.owner))], held.offsets)
    refuse_shared(f"partition.path={path}", which, ragged, rows)
    return ragged
