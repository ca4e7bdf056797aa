"""What a private step of the compiled kernel releases, as the whole numbers of its grid."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

from fedrun.core.dataset import Spec
from fedrun.core.plan import ChunkPlan
from fedrun.core.privacy import PrivateSteps
from fedrun.core.task import Examples, Task
from fedrun.core.tree import Tree, expand
from fedrun.engine import _compiler
from fedrun.engine._noise import grid
from fedrun.engine._private import private
from fedrun.engine._private_network import box_muller, loaded_library
from fedrun.local.sgd import sgd
from fedrun.privacy._stream import streams

pytestmark = pytest.mark.usefixtures("private_kernel")

SECRET = streams("seeded", 7)
LR = 2.0**60  # beside such a step the weights that it started from are nothing


def problem(sizes, rows=60):
    draw = torch.Generator().manual_seed(0)
    layers = []
    for inputs, outputs in pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    with torch.no_grad():
        for p in nn.Sequential(*layers).parameters():
            p.copy_(torch.randn(p.shape, generator=draw) / p.shape[-1] ** 0.5)
    task = Task(nn.Sequential(*layers[:-1]), Spec((sizes[0],), sizes[-1], "number"))
    x = torch.randn(rows, sizes[0], generator=draw)
    return task, Examples(x, torch.randn(rows, sizes[-1], generator=draw))


def released(task, examples, steps, batches, clients=(0,), only=None):
    """float64 [C, d]: clipped sums and noise of the last of these steps, in steps of the grid."""
    lengths = np.array([len(batch) for batch in batches] * len(clients))
    end, times = np.cumsum(lengths), np.arange(len(clients) + 1) * len(batches)
    rows = np.concatenate(batches * len(clients)).astype(np.int64)
    plan = ChunkPlan(1, np.array(clients), times, end - lengths, end, rows,
                     expected=np.ones(len(clients)))  # fmt: skip
    start = expand(task.current(), len(clients))
    made = private(task, examples, sgd(1, lr=LR), True)(steps)(plan)(start, only=only).params
    free = [name for name in start if only is None or name in only]
    found = torch.cat([made[name].double().flatten(1) for name in free], 1)
    return -found.numpy() / LR * grid(steps, found.shape[1])[0]


def hiding(noise_multiplier=1e-3, clip_norm=0.1):
    return PrivateSteps(clip_norm=clip_norm, noise_multiplier=noise_multiplier, streams=SECRET)


@pytest.mark.parametrize("sizes", [(1, 1), (33, 17, 7), (130, 64, 5), (16, 257, 3, 31)])
@pytest.mark.parametrize("noise_multiplier", [0.0, 1e-3])
def test_an_example_moves_every_sum_by_the_same_bits(sizes, noise_multiplier):
    """Wherever it stands, and however many stand beside it: else the others, whose gradients would
    change with it, would move the sum too, by what nobody clips."""
    task, examples = problem(sizes)
    examples.x[1:] = float("nan")  # these count as nothing
    for sizes_of_batches in ([1, 2, 3, 4, 5, 9, 10, 11, 20, 31, 32], [33, 40, 55]):
        made = []
        for size in sizes_of_batches:  # those of 32 and fewer are added up in float32
            for place in {0, size // 2, size - 1}:
                batch = np.arange(1, size + 1)
                batch[place] = 0
                made.append(released(task, examples, hiding(noise_multiplier), [batch]))
        for other in made[1:]:
            np.testing.assert_array_equal(other, made[0])


@pytest.mark.parametrize("sizes", [(3, 2), (90, 90), (8191, 1), (4096, 2), (127, 70, 3)])
def test_m13_no_word_of_the_keystream_serves_twice(sizes):
    """The numbers of each of three steps, to the last one; an empty batch releases nothing else."""
    task, examples = problem(sizes)
    steps, clients, nobody = hiding(0.5), (0, 5), np.arange(0)
    count = sum(leaf.numel() for leaf in task.parameters.values())
    made = [np.zeros((2, count))]
    made += [released(task, examples, steps, [nobody] * taken, clients) for taken in (1, 2, 3)]
    even, deviation = count + count % 2, grid(steps, count)[1]
    for index, client in enumerate(clients):
        words = SECRET("noise", 1, client).words(3 * even)
        for step in range(3):
            normal = box_muller(words[step * even : (step + 1) * even])[:count]
            found = made[step + 1][index] - made[step][index]
            np.testing.assert_array_equal(found, np.rint(normal * deviation))


@pytest.mark.parametrize("rows", [1, 32, 33])
def test_slopes_beyond_float32_are_added_up_all_the_same(rows):
    """Where inputs are tiny and biases not trained, a slope in steps of the grid has no limit."""
    task, examples = problem((5, 4))
    examples.x.mul_(1e-36)
    examples.y.mul_(1e37)
    steps = hiding(clip_norm=1.0)
    both = [
        released(task, given, steps, [np.arange(rows)], only=["0.weight"])
        for given in (examples, Examples(examples.x * 2.0**40, examples.y * 2.0**-40))
    ]
    assert np.abs(both[0]).max() > 300
    assert np.abs(both[0] - both[1]).max() <= 1


def test_a_buffer_beside_the_parameters_stays_as_it_is():
    task, examples = problem((9, 4))
    task.module.register_buffer("scale", torch.full((3,), 2.0))
    plan = ChunkPlan(1, np.array([0, 1]), np.array([0, 1, 2]), np.array([0, 4]), np.array([4, 9]),
                     np.arange(9), expected=np.full(2, 4.0))  # fmt: skip
    start = expand(Tree(task.current(), **task.current_buffers()), 2)
    ends = [
        private(task, examples, sgd(1), compiled)(hiding())(plan)(start).params
        for compiled in (True, False)
    ]
    for end in ends:
        assert list(end) == list(start)
        assert torch.equal(end["scale"], torch.full((2, 3), 2.0))


@pytest.mark.slow
@pytest.mark.parametrize("isa", [["-march=x86-64-v3"], ["-mavx"], ["-msse4.1"]])
def test_older_processors_release_the_same(isa, monkeypatch, tmp_path):
    if _compiler.platform.machine() != "x86_64":
        pytest.skip("these are instruction sets of x86-64")
    task, examples = problem((130, 64, 5))
    batches = [[np.arange(rows)] for rows in (0, 7, 32, 60)]
    wanted = [released(task, examples, hiding(0.5), one) for one in batches]
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    flags = [flag for flag in _compiler.FLAGS if not flag.startswith("-march")]
    monkeypatch.setattr(_compiler, "FLAGS", (*flags, *isa, "-maes"))
    loaded_library.cache_clear()
    try:
        found = [released(task, examples, hiding(0.5), one) for one in batches]
        assert len(list((tmp_path / "fedrun").glob("private_network*.so"))) == 1
    finally:
        loaded_library.cache_clear()
    np.testing.assert_array_equal(found[0], wanted[0])  # noise alone
    for ours, theirs in zip(found, wanted, strict=True):
        # a sum between two steps of the grid may take either
        assert np.abs(ours - theirs).max() <= 1
        assert (ours != theirs).mean() < 0.01
