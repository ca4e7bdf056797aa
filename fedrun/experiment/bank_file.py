"""The states of clients on the disk: only rows that a round touches cost anything.

`clients.rows` holds rows of one size in slots. `clients.index` only grows: per row written one
record of three int64, client, slot and CRC-32 of the row. A bank is so many records old; that
number and the SHA-256 of those records is all that a checkpoint holds of it. A slot that a
checkpoint or the run needs is not written to (see `slots`), so a kill at any instant costs nothing.
"""

from __future__ import annotations

import hashlib
import os
import zlib
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fedrun.core.bank import Bank, Pages, Part
from fedrun.core.dataset import Array
from fedrun.core.option import RunError
from fedrun.core.tree import Tree, flatten, num_bytes
from fedrun.experiment.files import append
from fedrun.experiment.slots import Slots

RECORD = 3 * 8  # bytes
# A file of more bytes than this leaves the system's cache with each checkpoint, if its rows are
# large enough to be read again at little cost: whoever has so many clients meets each of them
# seldom, and pages that are used over and over are up to ten times as cheap as new ones.
CACHED, LARGE_ROW = 2**30, 2**16


@dataclass(frozen=True)
class Note:
    """How old a bank is: so many records, and the running SHA-256 of them."""

    records: int
    digest: Any


class BankFile:
    """A `Store` in two files of this folder, which appear with the first row.

    checkpoints: of those that are on the disk, how many records each is old.
    """

    def __init__(self, folder: Path, checkpoints: Iterable[int] = ()) -> None:
        self.rows, self.index = folder / "clients.rows", folder / "clients.index"
        self.checkpoints = list(checkpoints)
        self.slots, self.sums = Slots(), array("q")  # sums: of each slot, the CRC-32 of its row
        self.files: tuple[FileIO, FileIO] | None = None

    def stacked(self, fresh: Tree, keys: Sequence[Any | None]) -> Tree:
        state_C = fresh.map(lambda leaf: torch.empty(len(keys), *leaf.shape, dtype=leaf.dtype))
        parts_C = [bytes_C(leaf) for leaf in state_C.leaves()]
        own = [bytes_C(leaf.cpu()[None])[0] for leaf in fresh.leaves()]
        for place, slot in enumerate(keys):
            if slot is not None:
                self._read(slot, [part_C[place] for part_C in parts_C])
                continue
            for part_C, values in zip(parts_C, own, strict=True):
                part_C[place] = values
        return state_C.map(lambda leaf, like: leaf.to(like.device), fresh)

    def keep(self, bank: Bank, parts: Sequence[Part]) -> Bank:
        rows_file, index_file = self._open()
        note = bank.note or Note(0, hashlib.sha256())
        assert index_file.tell() == note.records * RECORD, "a bank is gone on from once"
        size, placed = num_bytes(bank.fresh), dict[int, int]()
        records: list[tuple[int, int, int]] = []
        for clients, state_C in parts:
            leaves_C = checked(state_C, bank.fresh)
            for place, client in enumerate(clients):
                number, total = note.records + len(records), 0
                slot = self.slots.take(number)
                rows_file.seek(slot * size)
                for leaf_C in leaves_C:
                    content = leaf_C[place].data
                    total = zlib.crc32(content, total)
                    append(rows_file, content)
                if client in bank.rows:
                    self.slots.leave(bank.rows[client], number)
                placed[client] = slot
                records.append((client, slot, total))
        table = np.array(records, np.int64)
        self._know(table)
        append(index_file, table.tobytes())
        digest = note.digest.copy()
        digest.update(table.tobytes())
        renewed = Note(note.records + len(records), digest)
        return replace(bank, rows=bank.rows.updated(placed), note=renewed)

    def to_tree(self, bank: Bank) -> Tree:
        digest = torch.tensor(list(bank.note.digest.digest()), dtype=torch.uint8)
        return Tree(records=bank.note.records, sha256=digest, row_bytes=num_bytes(bank.fresh))

    def restored(self, bank: Bank, tree: Tree) -> Bank:
        """Cuts the index back to the checkpoint; slots that were filled since then are free."""
        if "rows" in tree:  # the checkpoint of a version that kept rows in memory
            return self.restored(bank, Tree()).put(tree["clients"].tolist(), tree["rows"])
        if not tree and not self.index.exists():
            return bank
        length = tree["records"] * RECORD if tree else 0
        content = self.index.read_bytes()[:length] if self.index.exists() else b""
        digest = hashlib.sha256(content)
        if tree and digest.digest() != bytes(tree["sha256"].tolist()):
            raise self._damaged(
                self.index, f"it does not begin with the {length} bytes that were saved"
            )
        _, index_file = self._open()
        if index_file.seek(0, os.SEEK_END) > length:
            index_file.truncate(length)
        index_file.seek(length)
        records = np.frombuffer(content, np.int64).reshape(-1, 3)
        self.slots = Slots.replayed(records[:, 0], records[:, 1], self.checkpoints)
        self._know(records)
        rows = Pages.of(dict(records[:, :2].tolist()))
        return replace(bank, rows=rows, note=Note(len(records), digest))

    def commit(self, bank: Bank) -> None:
        """The run goes on from no older bank than this one, checkpoints aside."""
        self.slots.commit(age(bank))

    def hold(self, bank: Bank) -> None:
        """Bring a bank to the disk, for a checkpoint that is about to be written."""
        self.slots.hold(age(bank))
        for file in self.files or ():
            os.fsync(file.fileno())
        if self.files and num_bytes(bank.fresh) >= LARGE_ROW and hasattr(os, "posix_fadvise"):
            rows = self.files[0].fileno()
            if os.fstat(rows).st_size > CACHED:
                os.posix_fadvise(rows, 0, 0, os.POSIX_FADV_DONTNEED)

    def retain(self, checkpoints: Iterable[int]) -> None:
        """These are the checkpoints that there are now, each so many records old."""
        self.slots.retain(checkpoints)

    def close(self) -> None:
        for file in self.files or ():
            file.close()

    def _open(self) -> tuple[FileIO, FileIO]:
        if self.files is None:
            self.rows.parent.mkdir(exist_ok=True)
            for path in (self.rows, self.index):
                if not path.exists():
                    path.touch()
            # Unbuffered: a row is with the system when its round is over. A finished run may lie
            # where nobody can write.
            mode = "r+" if os.access(self.index, os.W_OK) else "r"
            self.files = FileIO(self.rows, mode), FileIO(self.index, mode)
        return self.files

    def _read(self, slot: int, parts: Sequence[Array]) -> None:
        file, total, read = self._open()[0], 0, 0
        size = sum(part.nbytes for part in parts)
        file.seek(slot * size)
        for part in parts:
            read += file.readinto(part.data) or 0
            total = zlib.crc32(part.data, total)
        if read != size or total != self.sums[slot]:
            raise self._damaged(self.rows, f"bytes {slot * size} to {(slot + 1) * size} are not "
                                "those that a client left there")  # fmt: skip

    def _know(self, records: Array) -> None:
        """Note the checksums of rows, in the order in which they were written."""
        most = int(records[:, 1].max(initial=-1)) + 1
        self.sums.frombytes(bytes(8 * max(0, most - len(self.sums))))
        np.frombuffer(self.sums, np.int64)[records[:, 1]] = records[:, 2]

    def _damaged(self, file: Path, why: str) -> RunError:
        return RunError(
            f"{file} is damaged: {why}.\nBring it back; or delete {file.parent} and resume, to "
            f"begin again from round 0."
        )


def age(bank: Bank) -> int:
    return bank.note.records if bank.note else 0


def checked(state_C: Tree, fresh: Tree) -> list[Array]:
    """The bytes of each leaf, in the order of the fresh state's leaves."""
    leaves_C: list[Array] = []

    def add(own: Tensor, leaf_C: Tensor) -> None:
        if (leaf_C.shape[1:], leaf_C.dtype) != (own.shape, own.dtype):
            raise RunError(
                f"a client's state has a {leaf_C.dtype} of shape {tuple(leaf_C.shape[1:])} where "
                f"client_init gives a {own.dtype} of shape {tuple(own.shape)}"
            )
        leaves_C.append(bytes_C(leaf_C.detach().cpu()))

    assert flatten(state_C).keys() == flatten(fresh).keys(), "a client's state has other names"
    fresh.map(add, state_C)
    return leaves_C


def bytes_C(leaf_C: Tensor) -> Array:  # noqa: N802
    """uint8 [C, bytes]: the memory of each client's slice; a copy where it is not contiguous."""
    flat_C = leaf_C.contiguous().reshape(len(leaf_C), leaf_C[0].numel() if len(leaf_C) else 0)
    found: Array = flat_C.view(torch.uint8).numpy()
    return found
