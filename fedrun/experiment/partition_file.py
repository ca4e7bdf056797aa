"""`partition.npz` and `partition.json`: who held what, by which rule, with seed and hash."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from fedrun.core.dataset import Array, Split
from fedrun.core.partition import Numbers, Ragged
from fedrun.experiment.build import Experiment
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
    arrays = {
        "train_rows": partition.train.rows,
        "train_offsets": partition.train.offsets,
        "test_rows": partition.test.rows,
        "test_offsets": partition.test.offsets,
    }
    facts: dict[str, Any] = {
        "rule": partition.rule,
        "seed": experiment.settings.seed,
        "sha256": partition.fingerprint,
        "clients": len(partition),
        "classes": list(dataset.spec.classes),
    }
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
    content = BytesIO()
    np.savez(content, **arrays)  # type: ignore[arg-type]
    write_bytes(path / "partition.npz", content.getbuffer())
    write_bytes(path / "partition.json", json.dumps(facts).encode() + b"\n")


def cells(held: Ragged, split: Split, labelled: bool) -> Array:
    """int32 [cells, 3], ascending: client, class (0 where there is none), rows (at least 1)."""
    label = split.y[held.rows] if labelled else np.zeros(len(held.rows), np.int64)
    classes = int(label.max(initial=0)) + 1
    cell, rows = np.unique(held.owner * classes + label, return_counts=True)
    return np.stack([cell // classes, cell % classes, rows], axis=1).astype(np.int32)
