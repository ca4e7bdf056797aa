"""A data set as a federation sees it: rows, targets and, where the data say so, their owners."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Kind = Literal["classes", "binary", "number"]


@dataclass(frozen=True)
class Spec:
    """What a model must fit: the shape of one example and the meaning of its outputs.

    kind: `classes` (one output per class, cross entropy), `binary` (one logit, its sigmoid is the
    probability of class 1) or `number` (one output per target, squared error).
    """

    input_shape: tuple[int, ...]
    outputs: int
    kind: Kind
    classes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Split:
    """`x` float32 [N, *input_shape]; `y` int64 [N] (classes, binary) or float32 [N, outputs];
    `client` int64 [N], the natural owner of each row, or None where the data name no owner."""

    x: Array
    y: Array
    client: Array | None = None

    def __len__(self) -> int:
        return len(self.y)


@dataclass(frozen=True)
class Dataset:
    """Training rows and the official test rows, which are never merged.

    client_names: the name of each natural client, indexed by the numbers in `Split.client`.
    source: where the bytes came from, one sentence for the manifest.
    """

    name: str
    spec: Spec
    train: Split
    test: Split
    client_names: tuple[str, ...] = ()
    source: str = ""

    def __post_init__(self) -> None:
        for split in (self.train, self.test):
            assert split.x.dtype == np.float32, split.x.dtype
            assert split.x.shape == (len(split), *self.spec.input_shape), split.x.shape
            if self.spec.kind == "number":
                assert split.y.dtype == np.float32
                assert split.y.shape == (len(split), self.spec.outputs)
            else:
                assert split.y.dtype == np.int64
                assert split.y.shape == (len(split),)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of every row, target and owner, in order."""
        digest = hashlib.sha256()
        for split in (self.train, self.test):
            for array in (split.x, split.y, split.client):
                if array is not None:
                    digest.update(f"{array.dtype.str}{array.shape}".encode())
                    digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()
