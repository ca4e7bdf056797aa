"""`partition.npz` and `partition.json`: who held what, by which rule, with seed and hash.

`partition=file` reads them again, and the single file that `fedrun partition --out` writes.
"""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from fedrun.core.dataset import Array, Dataset, Split
from fedrun.core.option import ConfigError
from fedrun.core.partition import Numbers, Partition, Ragged
from fedrun.experiment.build import Experiment, Holdings
from fedrun.experiment.files import write_bytes

MOST_LISTED = 10_000  # clients; more make the JSON file larger than the data themselves


def write_partition(path: Path, experiment: Experiment) -> None:
    """`partition.npz` with the row numbers and `partition.json` with what they amount to.

    The counts per client and class stand in the JSON file; of more than 10,000 clients they stand
    in the other one, as `train_cells` and `test_cells`: client, class and number of its rows, where
    there are any. Names of more clients than that are left out where they are mere numbers.
    """
    partition, dataset = experiment.partition, experiment.dataset
    listed = len(partition) <= MOST_LISTED
    arrays = _rows(partition)
    facts = _facts(partition, dataset, experiment.settings.seed)
    if listed or not isinstance(partition.names, Numbers):
        facts["names"] = list(partition.names)
    if listed:
        facts["train"] = partition.counts(dataset.train, dataset.spec).tolist()
        facts["test"] = partition.counts(dataset.test, dataset.spec, test=True).tolist()
    else:
        labelled = dataset.spec.labelled
        arrays["train_cells"] = cells(partition.train, dataset.train, labelled)
        arrays["test_cells"] = cells(partition.test, dataset.test, labelled)
        facts["counts"] = "partition.npz: train_cells and test_cells (client, class, rows)"
    write_bytes(path / "partition.npz", _packed(arrays))
    write_bytes(path / "partition.json", json.dumps(facts).encode() + b"\n")


def export(path: Path, held: Holdings) -> None:
    """One npz file with the row numbers and, as the bytes of a JSON text, what they are.

    A file that is there is left alone: the same bytes are fine, others are refused.
    """
    if path.suffix != ".npz":
        raise ConfigError(f"--out {path}: accepted is a file that ends in .npz")
    partition = held.partition
    if partition.data is not None:
        raise ConfigError(
            f"--out {path}: {partition.rule} changes the data itself, and a file of row numbers "
            f"cannot say that; cite the config and its seed"
        )
    if held.settings.clients.test_fraction is not None:
        raise ConfigError(
            f"--out {path}: clients.test_fraction takes test rows from the clients' own, which a "
            f"file of row numbers cannot say; leave it out here, and give it beside partition=file"
        )
    from_file = held.bound["partition"].name == "file"
    facts = _facts(partition, held.dataset, None if from_file else held.settings.seed)
    if not isinstance(partition.names, Numbers):
        facts["names"] = list(partition.names)
    text = np.frombuffer(json.dumps(facts).encode(), np.uint8)
    content = _packed({**_rows(partition), "facts": text})
    try:
        if path.exists():
            if path.read_bytes() == bytes(content):
                return
            raise ConfigError(f"--out {path} is there already and holds something else")
        write_bytes(path, content)
    except OSError as error:
        raise ConfigError(f"--out {path} cannot be written: {error.strerror or error}") from error


def _rows(partition: Partition) -> dict[str, Array]:
    arrays = {
        "train_rows": partition.train.rows,
        "train_offsets": partition.train.offsets,
        "test_rows": partition.test.rows,
        "test_offsets": partition.test.offsets,
    }
    if partition.groups is not None:
        arrays["groups"] = partition.groups.astype(np.int64)
    return arrays


def _facts(partition: Partition, dataset: Dataset, seed: int | None) -> dict[str, Any]:
    return {
        "rule": partition.rule,
        "seed": seed,
        "sha256": partition.fingerprint,
        "data": {
            "name": dataset.name,
            "sha256": dataset.fingerprint,
            "train": len(dataset.train),
            "test": len(dataset.test),
            "changed": partition.data is not None,  # by the partition: rotated, noisy, copied
        },
        "clients": len(partition),
        "classes": list(dataset.spec.classes),
    }


def _packed(arrays: dict[str, Array]) -> memoryview[int]:
    content = BytesIO()
    np.savez(content, **arrays)  # type: ignore[arg-type]
    return content.getbuffer()


def cells(held: Ragged, split: Split, labelled: bool) -> Array:
    """int32 [cells, 3], ascending: client, class (0 where there is none), rows (at least 1)."""
    label = split.y[held.rows] if labelled else np.zeros(len(held.rows), np.int64)
    classes = int(label.max(initial=0)) + 1
    cell, rows = np.unique(held.owner * classes + label, return_counts=True)
    return np.stack([cell // classes, cell % classes, rows], axis=1).astype(np.int32)
