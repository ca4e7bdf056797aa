"""A data set as a federation sees it: rows, targets and, where the data say so, their owners."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from fedrun.core.option import ConfigError
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
        if self.kind == "tokens" and self.vocabulary is None:
            raise ConfigError("Spec(kind=tokens) predicts the next token; it needs a vocabulary")

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
    own_tests: where rows overlap, so that some of a client's own are no test of the others: what to
        do for tests that are new; empty where rows are apart.
    """

    name: str
    spec: Spec
    train: Split
    test: Split
    client_names: tuple[str, ...] = ()
    source: str = ""
    licence: str = ""
    prepared: Preparation | None = None
    own_tests: str = ""

    def __post_init__(self) -> None:
        features = self.prepared.lists() if self.prepared else ()
        for each in features:
            assert len(each) == self.spec.input_shape[0], (len(each), self.spec.input_shape)
        self._check("training", self.train)
        self._check("test", self.test)

    def _check(self, which: str, split: Split) -> None:
        """Types, shapes and ranges: a user's own reader may be mistaken about any of them."""
        spec, start = self.spec, f"data set {self.name}: its {which}"
        tokens = spec.vocabulary is not None
        parts = [("inputs", split.x, np.int64 if tokens else np.float32, spec.input_shape)]
        target_type = np.float32 if spec.kind == "number" else np.int64
        parts.append(("targets", split.y, target_type, spec.target_shape))
        if split.client is not None:
            parts.append(("owners (Split.client)", split.client, np.int64, ()))
        for what, array, dtype, shape in parts:
            wanted = f"{np.dtype(dtype)} of shape {(len(split), *shape)}"
            if not isinstance(array, np.ndarray):
                raise ConfigError(
                    f"{start} {what} are a {type(array).__name__}; expected is a NumPy array of "
                    f"{wanted}"
                )
            if array.dtype != dtype or array.shape != (len(split), *shape):
                raise ConfigError(
                    f"{start} {what} are {array.dtype} of shape {array.shape}; expected is "
                    f"{wanted}, as Spec(kind={spec.kind}, vocabulary={spec.vocabulary}) says"
                )
        ranges = [("tokens", split.x, spec.vocabulary or 0)] if tokens else []
        if spec.kind != "number":
            ranges.append(("targets", split.y, max(2, spec.outputs)))
        if split.client is not None:
            named = len(self.client_names) if which == "training" else 0  # others are strangers
            ranges.append(("owners (Split.client)", split.client, named or 2**63))
        for what, array, end in ranges:
            low, high = int(array.min(initial=0)), int(array.max(initial=0))
            if low < 0 or high >= end:
                raise ConfigError(
                    f"{start} {what} go from {low} to {high}; expected is 0 to {end - 1}"
                )

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
