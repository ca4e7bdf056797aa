"""A data set as a federation sees it: rows, targets and, where the data say so, their owners."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from fedrun.core.preparation import Preparation

Array = npt.NDArray[Any]
Kind = Literal["classes", "binary", "number", "tokens"]


@dataclass(frozen=True)
class Spec:
    """What a model must fit: the shape of one example and the meaning of its outputs.

    kind: `classes` (one output per class, cross entropy), `binary` (one logit, its sigmoid is the
    probability of class 1), `number` (one output per target, squared error) or `tokens` (the next
    token at every position of the input: one output per token and position, cross entropy).
    classes: the name of each class or token that is predicted.
    vocabulary: None where inputs are numbers; else they are tokens 0 to vocabulary - 1.
    """

    input_shape: tuple[int, ...]
    outputs: int
    kind: Kind
    classes: tuple[str, ...] = ()
    vocabulary: int | None = None

    def __post_init__(self) -> None:
        assert self.kind != "tokens" or self.vocabulary is not None, "the next token of numbers"

    @property
    def labelled(self) -> bool:
        """Whether an example has one class, by which examples can be counted and dealt out."""
        return self.kind in ("classes", "binary")

    @property
    def output_shape(self) -> tuple[int, ...]:
        """What a model gives for one example."""
        return (*self.input_shape, self.outputs) if self.kind == "tokens" else (self.outputs,)

    @property
    def target_shape(self) -> tuple[int, ...]:
        """The shape of one example's target."""
        return {"number": (self.outputs,), "tokens": self.input_shape}.get(self.kind, ())


@dataclass(frozen=True)
class Split:
    """`x` float32 [N, *input_shape], or int64 where inputs are tokens; `y` int64 [N] (classes,
    binary), int64 [N, *input_shape] (tokens) or float32 [N, outputs] (number); `client` int64 [N],
    the natural owner of each row, or None where the data name no owner."""

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
    licence: of the data, where it is known.
    prepared: what was done to raw examples, where the reader keeps it; goes with exported models.
    """

    name: str
    spec: Spec
    train: Split
    test: Split
    client_names: tuple[str, ...] = ()
    source: str = ""
    licence: str = ""
    prepared: Preparation | None = None

    def __post_init__(self) -> None:
        spec = self.spec
        for features in self.prepared.lists() if self.prepared else ():
            assert len(features) == spec.input_shape[0], (len(features), spec.input_shape)
        input_type = np.float32 if spec.vocabulary is None else np.int64
        target_type = np.float32 if spec.kind == "number" else np.int64
        for split in (self.train, self.test):
            assert split.x.dtype == input_type, split.x.dtype
            assert split.x.shape == (len(split), *spec.input_shape), split.x.shape
            assert split.y.dtype == target_type, split.y.dtype
            assert split.y.shape == (len(split), *spec.target_shape), split.y.shape
            if spec.vocabulary is not None and len(split):
                assert split.x.min() >= 0, "a token below 0"
                assert split.x.max() < spec.vocabulary, "a token beyond the vocabulary"

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
