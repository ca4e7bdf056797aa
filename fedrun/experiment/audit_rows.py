"""The states that clients keep, against the checksums that were noted with them (see `bank_file`).

In a run that was never killed the rows fill the file, and each was noted; else the bytes of a round
that was thrown away may lie behind them, or in a slot that is free again.
"""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np

from fedrun.core.tree import Tree
from fedrun.experiment.audit_found import Check, Found
from fedrun.experiment.bank_file import RECORD
from fedrun.experiment.files import sha256


def rows_check(run: Found, folder: Path, bank: Tree) -> Check:
    """The index against the newest checkpoint, and the rows against the index."""
    name, length = "checkpoints/clients.rows", bank["records"] * RECORD
    index, rows = folder / "clients.index", folder / "clients.rows"
    content = index.read_bytes() if index.is_file() else b""
    whole = len(content) == length or (not run.finished and len(content) > length)
    if not whole or sha256(content[:length]) != bytes(bank["sha256"].tolist()).hex():
        return Check("checkpoints/clients.index", "altered", "it is not what the checkpoint saw")
    records = np.frombuffer(content[:length], np.int64).reshape(-1, 3).tolist()
    if not rows.is_file():
        return Check(name, "missing", "the index tells of rows")
    sums = {slot: total for _, slot, total in records}
    undisturbed = run.finished and not run.manifest.get("resumed")
    wanted = sums if undisturbed else {client: slot for client, slot, _ in records}.values()
    size, slots = bank["row_bytes"], max(sums, default=-1) + 1
    if undisturbed and rows.stat().st_size != size * slots:
        return Check(name, "altered", f"its bytes are not {slots} rows of {size}")
    with rows.open("rb") as file:
        for slot in sorted(wanted):
            file.seek(slot * size)
            if zlib.crc32(file.read(size)) != sums[slot]:
                return Check(name, "altered", f"row {slot} is not what a client left there")
    return Check(name, "ok", f"{len(wanted)} rows, each against its checksum in clients.index")
