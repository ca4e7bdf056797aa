"""Data sets that lie inside scikit-learn: no file to bring, no network.

Their files are read where they lie. `sklearn.datasets` would read the same numbers, but to import
it takes longer than a small run.
"""

from __future__ import annotations

import io
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from fedrun.core.dataset import Array, Dataset, Spec, Split
from fedrun.core.option import RunError
from fedrun.core.preparation import Preparation
from fedrun.data._bytes import read_bytes
from fedrun.data._scale import SCORED, fitted
from fedrun.data._split import stratified


def bundled_table(
    name: str,
    file: str,
    *,
    classes: tuple[str, ...],
    columns: tuple[str, ...],
    test_fraction: float,
    split_seed: int,
) -> Dataset:
    """A classification table: stratified split, features z-scored by the training rows.

    columns: their names in scikit-learn.
    """
    x, y = bundled_rows(file, delimiter=",", header=1)
    train, test = stratified(y, test_fraction, split_seed)
    scale = fitted(x[train])
    binary = len(classes) == 2
    spec = Spec(
        input_shape=x.shape[1:],
        outputs=1 if binary else len(classes),
        kind="binary" if binary else "classes",
        classes=classes,
    )
    return Dataset(
        name=name,
        spec=spec,
        train=Split(scale(x[train]), y[train]),
        test=Split(scale(x[test]), y[test]),
        source=bundled_source(name),
        licence="CC BY 4.0 (UCI)",
        prepared=Preparation(SCORED, scale.features(columns)),
    )


def bundled_rows(file: str, *, delimiter: str, header: int = 0) -> tuple[Array, Array]:
    """float64 [N, features] and the int64 [N] class that each row of the file ends in."""
    numbers = bundled_numbers(file, delimiter=delimiter, header=header)
    return numbers[:, :-1], numbers[:, -1].astype(np.int64)


def bundled_numbers(file: str, *, delimiter: str | None = None, header: int = 0) -> Array:
    """float64: the numbers of a file of `sklearn/datasets/data`, below its `header` lines.

    delimiter: what stands between them; None is any blank.
    """
    text = read_bytes(_located(file)).decode("ascii")
    return np.loadtxt(io.StringIO(text), delimiter=delimiter, skiprows=header)


def bundled_source(name: str) -> str:
    """Where the bytes came from, for the manifest."""
    return f"scikit-learn {_version()}, sklearn.datasets.load_{name}"


def _located(file: str) -> Path:
    package = find_spec("sklearn")  # finds it without importing it
    places = (package.submodule_search_locations if package else None) or []
    for place in places:
        path = Path(place, "datasets", "data", file)
        if path.is_file():
            return path
    raise RunError(
        f"scikit-learn {_version()} has no file datasets/data/{file}, where this data set lies"
        f" (looked in {', '.join(places) or 'no folder'}).\n"
        "Mend it with: pip install --force-reinstall 'scikit-learn>=1.5'"
    )


def _version() -> str:
    try:
        return version("scikit-learn")
    except PackageNotFoundError as error:
        raise RunError(
            "scikit-learn, inside which this data set lies, is not installed.\n"
            "Mend it with: pip install 'scikit-learn>=1.5'"
        ) from error
