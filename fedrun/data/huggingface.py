"""Any data set of rows and columns in Hugging Face's forms: local files of parquet, CSV, JSON or
Arrow (`save_to_disk`), or a name on the hub."""

from __future__ import annotations

import difflib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from fedrun.core.dataset import Array, Dataset, Spec, Split
from fedrun.core.option import ConfigError, Count
from fedrun.data._arrow import arrow, local_tables, stacked
from fedrun.data._arrow_column import (
    class_names,
    features_of,
    identities,
    kind_of,
    labels,
    numbers,
    plain,
    unfolded,
)
from fedrun.data._arrow_feature import Normalized, columns_as_input
from fedrun.data._csv import listed
from fedrun.data._doubt import nearly_all_differ, numbers_the_rows, text_in_doubt
from fedrun.data._half import drawn_halves, given_halves, refuse_split_options
from fedrun.data._hub import hub_tables
from fedrun.data._split import OpenFraction
from fedrun.data._target import Task, owners, target_spec

if TYPE_CHECKING:
    import pyarrow as pa


def huggingface(
    *,
    path: str | None = None,
    hub: str | None = None,
    subset: str | None = None,
    revision: str | None = None,
    target: str = "label",
    features: list[str] | None = None,
    client: str | None = None,
    task: Task = "auto",
    train: str = "train",
    test: str | None = None,
    test_fraction: OpenFraction = 0.2,
    split_seed: int = 0,
    shape: list[Count] | None = None,
    size: Count | None = None,
    grayscale: bool = False,
    normalize: Normalized = "auto",
) -> Dataset:
    """Hugging Face data: local parquet, CSV, JSON or Arrow files, or a hub name (extra `hf`).

    path: a file, or a folder whose files or folders are named by split; null takes hub.
    hub: the name on the hub, such as ylecun/mnist, where there is a network; null takes path.
    subset: with hub: which of its configurations; null is the only one or the default.
    revision: with hub: a commit or tag, so that the data stay the same; null is the newest.
    target: the column to predict.
    features: the columns a model is given, one column of pictures or any of numbers, lists of
        numbers and text (one-hot); null takes all that are not target or client. What stands
        inside a column is a column too: person.age.
    client: the column that names each row's owner; null leaves the rows to the partition.
    task: auto takes named classes, text, and at most 20 different whole numbers, as classes.
    train: the split to train on.
    test: the split to test on; null takes `test` and, where there is none, holds rows out.
    test_fraction: share of the rows held out where there is no test split (above 0 and below 1).
    split_seed: draws which rows these are; stratified by class, within each client where named.
    shape: put each example's numbers into this shape, such as [1,28,28]; null leaves them.
    size: put every picture into this many pixels a side (bilinear); null needs all of one size.
    grayscale: pictures of one channel in place of red, green, blue.
    normalize: pixel divides by 255, train z-scores by the training rows (pictures: each channel),
        none leaves numbers; auto is pixel for pictures and lists of bytes, train for all others.
    """
    tables, source = _tables(path, hub, subset, revision)
    whole, trained = _chosen(tables, train, test, test_fraction, split_seed)
    whole = unfolded(whole)
    chosen = _columns(whole.column_names, target, features, client)
    if features is None:
        _refuse_doubtful(whole.slice(0, trained), chosen)
    spec, y = _target(whole, target, task)
    owner, names = owners(identities(client, plain(whole, client))) if client else (None, ())
    if trained is None:
        train_rows, test_rows = _drawn(spec, y, owner, test_fraction, split_seed)
    else:
        train_rows, test_rows = given_halves(spec, y, np.arange(len(y)) >= trained)
    x_train, x_test, prepared = columns_as_input(
        whole,
        chosen,
        train_rows,
        test_rows,
        shape=None if shape is None else tuple(shape),
        size=size,
        grayscale=grayscale,
        normalize=normalize,
    )

    def split(x: Array, rows: Array) -> Split:
        return Split(x, y[rows], None if owner is None else owner[rows])

    return Dataset(
        name="huggingface",
        spec=replace(spec, input_shape=x_train.shape[1:]),
        train=split(x_train, train_rows),
        test=split(x_test, test_rows),
        client_names=names,
        source=f"{source}, target {target}",
        prepared=prepared,
    )


def _tables(
    path: str | None, hub: str | None, subset: str | None, revision: str | None
) -> tuple[dict[str, pa.Table], str]:
    if (path is None) == (hub is None):
        raise ConfigError(
            "data=huggingface needs data.path=FILE or FOLDER (parquet, csv, json, arrow), or"
            " data.hub=NAME, and not both"
        )
    arrow()
    if hub is not None:
        return hub_tables(hub, subset, revision), f"Hugging Face hub, {hub}" + (
            f" at {revision}" if revision else ""
        )
    for key, value in (("subset", subset), ("revision", revision)):
        if value is not None:
            raise ConfigError(
                f"data.{key}={value} has no effect with data.path; it is for data.hub"
            )
    assert path is not None
    return local_tables(Path(path).expanduser()), path


def _chosen(
    tables: dict[str, pa.Table], train: str, test: str | None, fraction: float, seed: int
) -> tuple[pa.Table, int | None]:
    """Training rows and below them the test rows, and how many train; None: all are to be split."""
    for key, name in (("train", train), ("test", test)):
        if name is not None and name not in tables:
            raise ConfigError(f"data.{key}={name} is no split of the data: {', '.join(tables)}")
    if test == train:
        raise ConfigError(f"data.test={test} is what is trained on; leave it out to hold rows out")
    held_out = test or ("test" if "test" in tables and train != "test" else None)
    for name in (train, held_out):
        if name is not None and not len(tables[name]):
            raise ConfigError(f"the split {name!r} has no row")
    if held_out is None:
        return tables[train], None
    refuse_split_options(f"the split {held_out!r}", fraction, seed)
    return stacked([tables[train], tables[held_out]], f"{train}, {held_out}"), len(tables[train])


def _columns(
    there: list[str], target: str, features: list[str] | None, client: str | None
) -> list[str]:
    """The feature columns; ConfigError where a name does not fit."""
    named = [("target", target), *(("features", name) for name in features or [])]
    for key, name in [*named, *([("client", client)] if client else [])]:
        if there.count(name) != 1:
            near = difflib.get_close_matches(name, there, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"columns: {listed(there)}"
            more = "more than one column" if name in there else "no column"
            raise ConfigError(f"data.{key}={name} is {more} of the data; {hint}")
    if client == target:
        raise ConfigError(f"data.client={client} is the target too")
    chosen = (
        [name for name in there if name not in (target, client)] if features is None else features
    )
    if (
        target in chosen
        or (client is not None and client in chosen)
        or len({*chosen}) < len(chosen)
    ):
        raise ConfigError("data.features names a column twice, the target or the client")
    if not chosen:
        raise ConfigError(f"the data have no column left as a feature; columns: {listed(there)}")
    return chosen


def _refuse_doubtful(rows: pa.Table, chosen: list[str]) -> None:
    """ConfigError where a column that nobody named as a feature seems to be none."""
    for name in chosen:
        column = plain(rows, name)
        kind = kind_of(column)
        if column.null_count or kind not in ("number", "text"):
            continue
        doubt = None
        if kind == "number":
            doubt = "seems to number the rows" * numbers_the_rows(name, numbers(name, column))
        else:
            cells = column.to_pylist()
            if odd := text_in_doubt(cells):
                doubt = f"holds {odd[0]}, such as {odd[1]!r}"
            elif count := nearly_all_differ(cells):
                doubt = f"holds {count:,} different texts in {len(cells):,} rows"
        if doubt:
            others = [one for one in chosen if one != name][:3] or [name]
            raise ConfigError(
                f"column {name!r} {doubt}: data.features names the columns to take, such as"
                f" 'data.features=[{','.join(others)}]'"
            )


def _target(whole: pa.Table, target: str, task: Task) -> tuple[Spec, Array]:
    y = labels(target, plain(whole, target))
    names = class_names(features_of(whole), target)
    if not names or task == "number" or y.dtype.kind == "U":
        return target_spec(f"column {target!r}", y, task)
    if y.ndim != 1 or y.min() < 0 or y.max() >= len(names):
        raise ConfigError(
            f"column {target!r} holds {y.min():g} to {y.max():g}, and it has {len(names)} named"
            " classes; a test split whose labels were kept back has -1"
        )
    if task == "binary" and len(names) != 2:
        raise ConfigError(f"column {target!r} has {len(names)} classes; data.task=binary needs 2")
    binary = task == "binary" or (task == "auto" and len(names) == 2)
    kind: Literal["binary", "classes"] = "binary" if binary else "classes"
    return Spec((), 1 if binary else len(names), kind, names), y.astype(np.int64)


def _drawn(
    spec: Spec, y: Array, owner: Array | None, fraction: float, seed: int
) -> tuple[Array, Array]:
    """As drawn_halves, where some of the named classes may have no row at all."""
    if spec.kind != "number":
        present, y = np.unique(y, return_inverse=True)
        spec = replace(spec, classes=tuple(spec.classes[k] for k in present))
    return drawn_halves(spec, y, owner, fraction, seed, given="data.test")
