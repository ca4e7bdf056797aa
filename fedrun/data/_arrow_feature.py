"""Columns of an Arrow table as a model's input: pictures, or numbers and text side by side."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import TYPE_CHECKING, Literal

import numpy as np

from fedrun.core.dataset import Array
from fedrun.core.option import ConfigError
from fedrun.core.preparation import Feature, Preparation, same
from fedrun.data._arrow_column import encoded, kind_of, numbers, plain, refuse_missing
from fedrun.data._feature import MAX_CATEGORIES, Part
from fedrun.data._picture import decode_pictures
from fedrun.data._pixel import scale_pixels
from fedrun.data._scale import fitted

if TYPE_CHECKING:
    import pyarrow as pa

Normalized = Literal["auto", "pixel", "train", "none"]
LOST = "; the constants are not kept"


def columns_as_input(
    table: pa.Table,
    names: list[str],
    train: Array,
    test: Array,
    *,
    shape: tuple[int, ...] | None,
    size: int | None,
    grayscale: bool,
    normalize: Normalized,
) -> tuple[Array, Array, Preparation]:
    """float32 (train, test) of these rows: [N, channels, height, width] of a column of pictures,
    else what the columns hold, side by side, in their order; and what was done."""
    columns = {name: plain(table, name) for name in names}
    lost = LOST if normalize != "none" else ""
    pictures = [name for name, column in columns.items() if kind_of(column) == "picture"]
    if pictures:
        if len(names) > 1:
            raise ConfigError(
                f"column {pictures[0]!r} holds pictures, which go with no other column: give"
                f" 'data.features=[{pictures[0]}]'"
            )
        pixels = decode_pictures(
            encoded(names[0], columns[names[0]]),
            size=size,
            grayscale=grayscale,
            asked_by="data=huggingface",
        )
        if normalize == "none":
            done = Preparation("bytes of pixels, 0 to 255")
            halves = pixels[train].astype(np.float32), pixels[test].astype(np.float32)
        else:
            scale: Literal["train", "none"] = "train" if normalize == "train" else "none"
            *halves, done = scale_pixels(pixels[train], pixels[test], scale)
        done = replace(done, how=(f"bilinear to {size}x{size}, " if size else "") + done.how)
    else:
        for key, value in (("size", size), ("grayscale", grayscale or None)):
            if value is not None:
                raise ConfigError(
                    f"data.{key}={str(value).lower()} has no effect: no column holds pictures"
                )
        parts = [_column(name, columns[name], train, test, normalize) for name in names]
        halves = [_side_by_side([part[half] for part in parts]) for half in (0, 1)]
        features = tuple(feature for *_, found in parts for feature in found)
        how = f"columns {', '.join(names)}, normalize={normalize}, side by side"
        named = halves[0].shape[1:] == (len(features),)
        done = Preparation(how, features) if named else Preparation(how + lost, lost=bool(lost))
    if shape is not None and len(shape) > 1:
        again = "" if done.how.endswith(LOST) else lost
        how = f"{done.how}, in the shape {list(shape)}{again}"
        done = Preparation(how, lost=done.is_fitted)
    return _shaped(halves[0], shape), _shaped(halves[1], shape), done


def _column(
    name: str, column: pa.ChunkedArray, train: Array, test: Array, normalize: Normalized
) -> Part:
    """Where a column holds arrays of arrays, their numbers have no names, and stand in no list."""
    kind = kind_of(column)
    if kind == "text":
        return _one_hot(name, column, train, test)
    if kind == "other":
        raise ConfigError(
            f"column {name!r} holds {column.type}, no numbers; leave it out: data.features names"
            " the columns to take"
        )
    values = numbers(name, column)
    if values.ndim == 1:
        values, names = values[:, None], [name]
    else:
        flat = values.ndim == 2
        names = [f"{name}[{at}]" for at in range(values.shape[1])] if flat else []
    if normalize == "auto":
        normalize = "pixel" if kind == "list" and values.dtype == np.uint8 else "train"
    if normalize == "train":
        scale = fitted(values[train])
        told = scale.features(names) if names else ()
        return scale(values[train]), scale(values[test]), told
    x = values.astype(np.float32)
    if normalize == "pixel":
        x /= 255
    return x[train], x[test], same(names, 255 if normalize == "pixel" else 1)


def _one_hot(name: str, column: pa.ChunkedArray, train: Array, test: Array) -> Part:
    """A column for each value of the training rows; a value that none of them has is all zeros."""
    refuse_missing(name, column)
    text = np.array(column.to_pylist(), np.str_)
    values = np.unique(text[train])
    if len(values) > MAX_CATEGORIES:
        raise ConfigError(
            f"column {name!r} holds {len(values):,} different texts, at most {MAX_CATEGORIES:,} are"
            " accepted as categories; leave it out: data.features names the columns to take"
        )
    hot = (text[:, None] == values).astype(np.float32)
    features = tuple(Feature(name, category=str(value)) for value in values)
    return hot[train], hot[test], features


def _side_by_side(parts: list[Array]) -> Array:
    if len(parts) == 1:
        return parts[0]
    return np.concatenate([part.reshape(len(part), -1) for part in parts], axis=1)


def _shaped(x: Array, shape: tuple[int, ...] | None) -> Array:
    if shape is None:
        return x
    if prod(shape) != prod(x.shape[1:]):
        raise ConfigError(
            f"data.shape={list(shape)} does not hold the {prod(x.shape[1:])} numbers of an example"
            f" of shape {x.shape[1:]}"
        )
    return x.reshape(len(x), *shape)
