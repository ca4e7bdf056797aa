"""`partition.npz` and `partition.json`: who held what, by which rule, with seed and hash."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path

import numpy as np

from fedrun.experiment.build import Experiment
from fedrun.experiment.files import write_bytes


def write_partition(path: Path, experiment: Experiment) -> None:
    """`partition.npz` with the row numbers and `partition.json` with what they amount to."""
    partition, dataset = experiment.partition, experiment.dataset
    arrays = BytesIO()
    np.savez(
        arrays,
        train_rows=partition.train.rows,
        train_offsets=partition.train.offsets,
        test_rows=partition.test.rows,
        test_offsets=partition.test.offsets,
    )
    write_bytes(path / "partition.npz", arrays.getvalue())
    facts = {
        "rule": partition.rule,
        "seed": experiment.settings.seed,
        "sha256": partition.fingerprint,
        "clients": len(partition),
        "classes": list(dataset.spec.classes),
        "names": list(partition.names),
        "train": partition.counts(dataset.train, dataset.spec).tolist(),
        "test": partition.counts(dataset.test, dataset.spec, test=True).tolist(),
    }
    write_bytes(path / "partition.json", json.dumps(facts).encode() + b"\n")
