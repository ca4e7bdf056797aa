"""Values cross from process to process through shared memory without a change."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fedrun.core.tree import Tree

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks")

if sys.platform == "linux":
    from fedrun.engine._arena import Arena, Block


@pytest.fixture
def arena():
    made = Arena()
    yield made
    made.close()


def reader_of(arena):
    """The same memory, as another process sees it: with a mapping of its own."""
    other = Arena.__new__(Arena)
    other.file, other.memory, other.taken = arena.file, memoryview(b""), {}
    return other


def equal(left, right):
    return (
        left.dtype == right.dtype
        and left.shape == right.shape
        and left.stride() == right.stride()
        and torch.equal(left, right)
    )


VALUES = {
    "empty": torch.zeros(0, 3),
    "one number": torch.tensor(3.5, dtype=torch.float64),
    "whole numbers": torch.arange(1000),
    "truths": torch.arange(999) % 3 == 0,
    "large": torch.arange(1_000_003, dtype=torch.float32),
    "channels last": torch.arange(2 * 8 * 9 * 7.0)
    .view(2, 8, 9, 7)
    .contiguous(memory_format=torch.channels_last),
    "transposed": torch.arange(600.0).view(20, 30).t(),
}


@pytest.mark.parametrize("name", VALUES)
def test_a_tensor_comes_as_it_was_with_its_order_in_memory(arena, name):
    got = reader_of(arena).read(arena.write(Tree(a=VALUES[name])))["a"]
    assert equal(got, VALUES[name])
    got.add_(1) if got.dtype != torch.bool else got.logical_not_()  # may be written to


NOT_IN_NUMPY = [torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2, torch.complex32]


@pytest.mark.parametrize("dtype", NOT_IN_NUMPY, ids=str)
@pytest.mark.parametrize("shape", [(), (0, 3), (5,), (40, 30)], ids=str)
def test_types_that_numpy_does_not_know(arena, dtype, shape):
    """As bytes, for PyTorch compares few of these."""
    size = dtype.itemsize
    bits = torch.arange(max(1, torch.Size(shape).numel()) * size, dtype=torch.uint8)
    value = bits.view(dtype)[: torch.Size(shape).numel()].view(shape)
    value = value.t() if len(shape) == 2 else value
    got = reader_of(arena).read(arena.write(Tree(a=value, b=torch.ones(3))))["a"]
    assert (got.dtype, got.shape, got.stride()) == (dtype, value.shape, value.stride())
    whole = (value.numel(),), (1,)
    raw = [one.as_strided(*whole).view(torch.uint8) for one in (got, value)]
    assert torch.equal(*raw)
    got.zero_()  # may be written to


def test_bfloat16_keeps_its_numbers(arena):
    value = torch.tensor([1.0, -2.5, float("inf"), 3.0e38] * 100, dtype=torch.bfloat16)
    assert equal(reader_of(arena).read(arena.write(value)), value)


def test_what_pytorch_has_put_off_is_done(arena):
    value = torch.tensor([1 + 2j, 3 - 1j])
    assert reader_of(arena).read(arena.write(value.conj())).tolist() == [1 - 2j, 3 + 1j]
    assert reader_of(arena).read(arena.write(value.conj().imag)).tolist() == [-2.0, 1.0]


@pytest.mark.parametrize("view", [torch.arange(900.0)[::3], torch.ones(1).expand(700)])
def test_gaps_and_shared_elements_are_not_sent(arena, view):
    block = arena.write(view)
    assert torch.equal(reader_of(arena).read(block), view)
    assert block.length < 4 * 900 + 600


def test_arrays_numbers_and_nothing(arena):
    value = {
        "rows": np.arange(5000),
        "few": np.arange(3),
        "none": None,
        "text": "ä",
        "tree": Tree(),
    }
    got = reader_of(arena).read(arena.write(value))
    assert got.keys() == value.keys()
    assert (got["rows"] == np.arange(5000)).all()
    assert (got["few"] == np.arange(3)).all()
    assert (got["none"], got["text"], got["tree"]) == (None, "ä", {})


def test_large_tensors_stand_on_boundaries_of_64_bytes(arena):
    for odd in (1, 77, 4097):
        arena.write("x" * odd)
        got = reader_of(arena).read(arena.write([torch.zeros(65), torch.zeros(1001)]))
        assert [leaf.data_ptr() % 64 for leaf in got] == [0, 0]


def test_what_is_looked_at_survives_growth(arena):
    reader = reader_of(arena)
    first = reader.read(arena.write(torch.full((1000,), 1.0)))
    grown = [reader.read(arena.write(torch.full((1000 * k,), float(k)))) for k in range(2, 60)]
    assert os.fstat(arena.file).st_size > 1_000_000
    assert (first == 1).all()
    assert all((leaf == k).all() for k, leaf in enumerate(grown, start=2))


def test_a_freed_block_is_used_again_and_no_other(arena):
    blocks = [arena.write(torch.full((100,), float(k))) for k in range(4)]
    size = os.fstat(arena.file).st_size
    arena.free(blocks[1])
    again = arena.write(torch.full((100,), 9.0))
    assert again == blocks[1]
    values = [reader_of(arena).read(block)[0].item() for block in blocks]
    assert values == [0, 9, 2, 3]
    for _ in range(10_000):
        arena.free(arena.write(torch.zeros(100)))
    assert os.fstat(arena.file).st_size == size


def test_a_lent_block_comes_back_with_its_last_tensor(arena):
    reader = reader_of(arena)
    block = arena.write(Tree(a=torch.full((100,), 1.0), b=torch.full((200,), 2.0)))
    tree = reader.lend(block)
    part = tree["b"][150:]
    del tree
    assert arena.write(torch.zeros(300)) != block
    assert (part == 2).all()
    del part
    assert arena.write(Tree(a=torch.zeros(100), b=torch.zeros(200))) == block


def test_a_value_without_large_parts_gives_its_block_back_at_once(arena):
    block = arena.write({"a": torch.tensor([7.0])})
    value = reader_of(arena).lend(block)
    assert arena.write({"a": torch.tensor([8.0])}) == block
    assert value["a"].item() == 7


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3000), st.booleans()), max_size=40))
def test_blocks_never_overlap(steps):
    arena = Arena()
    reader, held = reader_of(arena), []
    for number, (size, forget) in enumerate(steps):
        held.append((number, reader.lend(arena.write(torch.full((size,), float(number))))))
        if forget:
            del held[len(held) // 2]
        assert all((leaf == number).all() for number, leaf in held)
    arena.close()


def test_the_memory_has_no_name():
    arena = Arena()
    arena.write(torch.zeros(10_000))
    assert str(Path(f"/proc/self/fd/{arena.file}").readlink()) == "/memfd:fedrun (deleted)"
    arena.close()


def open_files():
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_closed_arena_leaves_no_open_file():
    before = open_files()
    for _ in range(20):
        arena = Arena()
        reader = reader_of(arena)
        kept = [reader.lend(arena.write(torch.zeros(1000 * k))) for k in range(5)]
        arena.close()
        assert all((leaf == 0).all() for leaf in kept)
        del kept, reader
    assert open_files() == before


def test_a_block_says_where_it_lies(arena):
    arena.write(torch.zeros(10))
    block = arena.write(torch.zeros(1000))
    assert isinstance(block, Block)
    assert block.offset % 64 == 0
    assert 4000 < block.length < 4600
