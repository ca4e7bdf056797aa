"""The hash-chained ledger: what left each client, and under which protection.

One JSON object a line with sorted keys. `hash` is SHA-256 of the previous line's hash followed by
this record without its `hash`; the first record follows 64 zeros. A record that was altered,
removed or put in between breaks the chain at its line.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Any

START = "0" * 64


def link(previous: str, record: dict[str, Any]) -> dict[str, Any]:
    """The record with its hash, chained to the one before it."""
    body = json.dumps(record, sort_keys=True, allow_nan=False)
    digest = hashlib.sha256(previous.encode() + body.encode()).hexdigest()
    return {**dict(sorted(record.items())), "hash": digest}


def broken_line(lines: Iterable[str]) -> int | None:
    """The number (from 1) of the first line that does not follow from those before it, or None."""
    previous = START
    for number, line in enumerate(lines, start=1):
        try:
            record = json.loads(line)
            claimed = record.pop("hash")
            whole = link(previous, record)["hash"] == claimed
        except (ValueError, KeyError, AttributeError, TypeError):  # no JSON, no object, NaN in it
            return number
        if not whole:
            return number
        previous = claimed
    return None
