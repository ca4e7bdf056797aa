"""Memory that one process writes and others read, and how a value gets into it.

An arena is a file without a name, made before the workers are forked: nobody else can open it, and
the system frees it with the last process that holds it, however that ends. It grows on demand; a
reader maps it anew when it has outgrown the old mapping, which stays whole for those who still look
at it.

A value is pickled with its tensors' bytes beside it (pickle protocol 5), each on a boundary of 64
bytes as PyTorch's own are. Nothing is copied when it is read: its tensors lie in the arena. So a
block must not be used again while somebody looks at it: either the writer knows when that is over
(`free`), or the reader's last tensor gives the block back when it is gone (`lend`), by clearing its
first byte.

Pickle is safe here, and only here: both ends are this very program, and
nobody else has the file.
"""

from __future__ import annotations

import io
import mmap
import os
import pickle
import struct
import weakref
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from fedrun.core.dataset import Array

ALIGNMENT = 64  # also the room for the byte that says whether a block is taken
SMALL = 256  # bytes below which a tensor is part of the pickle: many tiny ones are cheaper so
PLACE = struct.Struct("<QQ")
IN_NUMPY = {
    torch.float32, torch.float64, torch.float16, torch.complex64, torch.complex128, torch.bool,
    torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64,
}  # fmt: skip


class Block(NamedTuple):
    """Where a value lies in an arena; valid until its writer frees it."""

    offset: int
    length: int


class Arena:
    """One writer and any number of readers, each in its own process."""

    def __init__(self) -> None:
        self.file = os.memfd_create("fedrun")
        self.memory = memoryview(b"")
        self.taken: dict[int, int] = {}  # of the writer: where a block begins and ends

    def close(self) -> None:
        """Mappings go when nobody looks at them any more."""
        os.close(self.file)
        self.memory = memoryview(b"")

    def write(self, value: Any) -> Block:
        """Put a value somewhere free."""
        skeleton, buffers = pack(value)
        begin = ALIGNMENT + PLACE.size * (1 + len(buffers))
        end = begin + len(skeleton)
        places = [(len(buffers), len(skeleton))]
        for buffer in buffers:
            first = aligned(end)
            end = first + buffer.nbytes
            places.append((first, end))
        block = self._take(end)
        inside = self.memory[block.offset : block.offset + end]
        inside[0] = 1
        inside[ALIGNMENT : begin + len(skeleton)] = b"".join(
            [*(PLACE.pack(*place) for place in places), skeleton]
        )
        for (first, last), buffer in zip(places[1:], buffers, strict=True):
            inside[first:last] = buffer
        return block

    def free(self, block: Block) -> None:
        """Nobody looks at the block any more."""
        self.memory[block.offset] = 0

    def read(self, block: Block) -> Any:
        """A value that must be gone when its writer frees the block."""
        return unpack(self._inside(block))

    def lend(self, block: Block) -> Any:
        """A value whose block is free when the last of its tensors is gone."""
        inside = self._inside(block)
        root = np.frombuffer(inside, np.uint8)
        weakref.finalize(root, _clear, inside).atexit = False
        return unpack(memoryview(root))

    def _take(self, length: int) -> Block:
        """The first gap that is long enough, or the end."""
        self.taken = {first: last for first, last in self.taken.items() if self.memory[first]}
        begin = 0
        for first in sorted(self.taken):
            if first - begin >= length:
                break
            begin = aligned(self.taken[first])
        end = begin + length
        if end > len(self.memory):
            size = max(2 * len(self.memory), -(-end // mmap.PAGESIZE) * mmap.PAGESIZE)
            os.ftruncate(self.file, size)
            self.memory = memoryview(mmap.mmap(self.file, size))
        self.taken[begin] = end
        return Block(begin, length)

    def _inside(self, block: Block) -> memoryview:
        if block.offset + block.length > len(self.memory):
            self.memory = memoryview(mmap.mmap(self.file, os.fstat(self.file).st_size))
        return self.memory[block.offset : block.offset + block.length]


def aligned(place: int) -> int:
    return -(-place // ALIGNMENT) * ALIGNMENT


def _clear(block: memoryview) -> None:
    block[0] = 0


def pack(value: Any) -> tuple[bytes, list[memoryview]]:
    """A pickle, and the bytes of the larger tensors and arrays that belong to it."""
    stream, buffers = io.BytesIO(), []

    def aside(buffer: pickle.PickleBuffer) -> bool:
        raw = buffer.raw()
        if raw.nbytes >= SMALL:
            buffers.append(raw)
        return raw.nbytes < SMALL  # true: into the pickle

    Pickler(stream, 5, buffer_callback=aside).dump(value)
    return stream.getvalue(), buffers


def unpack(memory: memoryview) -> Any:
    """The value of a block; its larger tensors are views of `memory`."""
    count, length = PLACE.unpack_from(memory, ALIGNMENT)
    begin = ALIGNMENT + PLACE.size * (1 + count)
    places = [PLACE.unpack_from(memory, ALIGNMENT + PLACE.size * (1 + k)) for k in range(count)]
    buffers = [memory[first:last] for first, last in places]
    return pickle.loads(memory[begin : begin + length], buffers=buffers)


def survives(error: Exception) -> bool:
    """Whether an exception comes out of a pickle with its type and its words.

    Its `args` are what its class is called with when it is read, which need not fit.
    """
    stream = io.BytesIO()
    try:
        Pickler(stream, 5).dump(error)
        twin = pickle.loads(stream.getvalue())
        return type(twin) is type(error) and str(twin) == str(error)
    except Exception:  # somebody else's class may raise anything here, and that is the answer
        return False


class Pickler(pickle.Pickler):
    """Tensors travel as their bytes. PyTorch's own way gives each of them shared memory of its own:
    an open file each, of which a process may have about a thousand."""

    def reducer_override(self, value: Any) -> Any:
        if isinstance(value, Tensor):
            value = value.resolve_conj().resolve_neg()  # what PyTorch has put off
            shape, stride = tuple(value.shape), value.stride()
            last = sum((size - 1) * step for size, step in zip(shape, stride, strict=True))
            if value.numel() == 0 or last + 1 != value.numel():  # gaps, or elements that share
                value = value.contiguous()
                stride = value.stride()
            flat = value.detach().as_strided((value.numel(),), (1,))
            if flat.dtype in IN_NUMPY:
                return as_it_was, (flat.numpy(), shape, stride)
            return from_bytes, (flat.view(torch.uint8).numpy(), flat.dtype, shape, stride)
        return NotImplemented


def as_it_was(flat: Array, shape: tuple[int, ...], stride: tuple[int, ...]) -> Tensor:
    """A tensor with its order in memory, on which a sum's last bits may depend."""
    return torch.from_numpy(flat).as_strided(shape, stride)


def from_bytes(
    flat: Array, dtype: torch.dtype, shape: tuple[int, ...], stride: tuple[int, ...]
) -> Tensor:
    """The same, of a type that NumPy does not know, such as bfloat16."""
    return torch.from_numpy(flat).view(dtype).as_strided(shape, stride)
