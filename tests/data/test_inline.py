"""inline: rows from the config, and every way to write them wrong."""

from __future__ import annotations

from typing import Any

import pytest

from fedrun.core.option import ConfigError
from fedrun.data.inline import inline


def test_numbers() -> None:
    data = inline(x=[[1, 2], [3, 4]], y=[5, 6])
    assert data.train.x.tolist() == [[1, 2], [3, 4]]
    assert data.train.y.tolist() == [[5], [6]]
    assert data.test is data.train
    assert data.train.client is None


def test_owners_are_numbered_in_order() -> None:
    data = inline(x=[[1], [2], [3]], y=[0, 2, 0], client=[300, 5, 300], task="classes")
    assert data.train.client is not None
    assert data.train.client.tolist() == [1, 0, 1]
    assert data.client_names == ("5", "300")
    assert data.spec.classes == ("0", "1", "2")


def test_binary() -> None:
    data = inline(x=[[1], [2]], y=[0, 1], task="binary")
    assert (data.spec.outputs, data.spec.classes) == (1, ("0", "1"))
    assert data.train.y.dtype == "int64"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, r"needs data.x and data.y"),
        ({"x": [[1]]}, r"needs data.y"),
        ({"x": [], "y": []}, r"data.x is empty"),
        ({"x": [[1], [1, 2]], "y": [1, 2]}, r"row 1 has 2 numbers and row 0 has 1"),
        ({"x": [[1]], "y": [1, 2]}, r"data.y has 2 targets and data.x has 1"),
        ({"x": [[1e39]], "y": [1]}, r"data.x holds a number that is not finite"),
        ({"x": [[1]], "y": [float("nan")]}, r"data.y holds a number that is not finite"),
        ({"x": [[1]], "y": [1], "client": [1, 2]}, r"data.client has 2 entries"),
        ({"x": [[1]], "y": [0.5], "task": "classes"}, r"data.y holds 0.5; .*0 to 999"),
        ({"x": [[1]], "y": [-1], "task": "classes"}, r"data.y holds -1"),
        ({"x": [[1]], "y": [2], "task": "binary"}, r"data.y holds 2; .*from 0 to 1$"),
    ],
)
def test_mistakes(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        inline(**options)
