"""One column of an Arrow table as numbers, text or pictures, in NumPy."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from fedrun.core.dataset import Array
from fedrun.core.option import ConfigError

if TYPE_CHECKING:
    import pyarrow as pa

ColumnKind = Literal["number", "list", "text", "picture", "other"]


def features_of(table: pa.Table) -> dict[str, Any]:
    """What `datasets` wrote of the columns: {"label": {"_type": "ClassLabel", "names": [...]}}."""
    raw = (table.schema.metadata or {}).get(b"huggingface")
    if raw is None:
        return {}
    try:
        found = json.loads(raw)["info"]["features"]
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            "the table's metadata 'huggingface' are damaged: no info and features in them"
        ) from error
    return found if isinstance(found, dict) else {}


def class_names(features: dict[str, Any], name: str) -> tuple[str, ...]:
    """The names of the classes that the numbers in a column stand for; () where none are given."""
    feature = features.get(name)
    if not isinstance(feature, dict) or feature.get("_type") != "ClassLabel":
        return ()
    return tuple(str(one) for one in feature.get("names") or ())


def plain(table: pa.Table, name: str) -> pa.ChunkedArray:
    """The column without a dictionary and without an extension type around its storage."""
    import pyarrow as pa

    column = table.column(name)
    if isinstance(column.type, pa.BaseExtensionType):
        storage = [chunk.storage for chunk in column.chunks]
        column = pa.chunked_array(storage, type=column.type.storage_type)
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    return column


def unfolded(table: pa.Table) -> pa.Table:
    """Columns of named values become a column each, `person` with `age` in it `person.age`; those
    that hold a picture stay."""
    import pyarrow as pa
    from pyarrow import compute

    columns: dict[str, pa.ChunkedArray] = {}
    found = False
    for name, column in zip(table.column_names, table.columns, strict=True):
        if not pa.types.is_struct(column.type) or kind_of(column) == "picture":
            columns[name] = column
            continue
        found = True
        for place, field in enumerate(column.type):
            columns[f"{name}.{field.name}"] = compute.struct_field(column, [place])
    if not found or len(columns) < len(table.column_names):  # names twice: told of elsewhere
        return table
    return unfolded(pa.table(columns).replace_schema_metadata(table.schema.metadata))


def kind_of(column: pa.ChunkedArray) -> ColumnKind:
    from pyarrow import types

    kind = column.type
    if types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind):
        return "number"
    if types.is_string(kind) or types.is_large_string(kind):
        return "text"
    if types.is_binary(kind) or types.is_large_binary(kind):
        return "picture"
    if types.is_struct(kind) and kind.get_field_index("bytes") >= 0:
        return "picture"
    return "list" if _is_list(kind) else "other"


def numbers(name: str, column: pa.ChunkedArray) -> Array:
    """[N] or, of lists of equal length in each other, [N, ...]; uint8 stays what it is, all else is
    float64."""
    import pyarrow as pa
    from pyarrow import compute, types

    shape = [len(column)]
    refuse_missing(name, column)
    while _is_list(column.type):
        lengths = compute.list_value_length(column).to_numpy()
        if len(set(lengths.tolist())) > 1:
            row = int(np.flatnonzero(lengths != lengths[0])[0])
            raise ConfigError(
                f"column {name!r} holds lists of different lengths: {lengths[0]} at first,"
                f" {lengths[row]} at number {row}"
            )
        shape.append(int(lengths[0]) if len(lengths) else 0)
        column = compute.list_flatten(column)
        refuse_missing(name, column)
    if kind_of(column) != "number":
        raise ConfigError(f"column {name!r} holds lists of {column.type}, not of numbers")
    if not types.is_uint8(column.type):
        column = column.cast(pa.float64(), safe=False)
    values = column.to_numpy()
    # float32 ends at 3.4e38; beyond it a number would turn into inf silently.
    outside = np.flatnonzero(~(np.abs(values) <= np.finfo(np.float32).max))
    if len(outside):
        raise ConfigError(f"column {name!r} holds {values[outside[0]]}, not finite in float32")
    return values.reshape(shape)


def labels(name: str, column: pa.ChunkedArray) -> Array:
    """[N] numbers or text, or [N, ...] numbers: a column as a target."""
    refuse_missing(name, column)
    kind = kind_of(column)
    if kind == "text":
        return np.array(column.to_pylist(), np.str_)
    if kind in ("number", "list"):
        return numbers(name, column)
    raise ConfigError(f"column {name!r} holds {column.type}, which is no target")


def identities(name: str, column: pa.ChunkedArray) -> list[str]:
    """The owners' names."""
    refuse_missing(name, column)
    if kind_of(column) not in ("number", "text"):
        raise ConfigError(f"column {name!r} holds {column.type}, which names no client")
    return [str(value) for value in column.to_pylist()]


def encoded(name: str, column: pa.ChunkedArray) -> Iterator[tuple[str, bytes]]:
    """(where, bytes) of each picture."""
    for row, value in enumerate(column):
        content = value.as_py()
        raw = content.get("bytes") if isinstance(content, dict) else content
        if not isinstance(raw, bytes):
            raise ConfigError(f"column {name!r}, row {row}: no picture, or only the name of a file")
        yield f"column {name!r}, row {row}", raw


def refuse_missing(name: str, column: pa.ChunkedArray) -> None:
    if column.null_count:
        row = int(np.flatnonzero(column.is_null().to_numpy())[0])
        raise ConfigError(
            f"column {name!r} has no value in row {row} ({column.null_count:,} such values); leave"
            " these rows or this column out (data.features)"
        )


def _is_list(kind: pa.DataType) -> bool:
    from pyarrow import types

    return types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)
