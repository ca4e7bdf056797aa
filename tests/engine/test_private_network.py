"""Private steps by the compiled kernel against those layer by layer, with the same noise."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from fedrun.core.dataset import Spec
from fedrun.core.partition import Ragged
from fedrun.core.plan import ChunkPlan
from fedrun.core.poisson_plan import poisson_plan
from fedrun.core.privacy import PrivateSteps
from fedrun.core.task import Examples, Task
from fedrun.core.tree import expand
from fedrun.engine import _compiler, _private_network
from fedrun.engine._compiler import UnavailableError
from fedrun.engine._noise import MARGIN, Noise
from fedrun.engine._private import private, private_how
from fedrun.engine._private_network import SOURCE, box_muller, keystream, private_network
from fedrun.engine._whole_steps import MOST, whole_steps
from fedrun.engine.native import native
from fedrun.local.adam import adam
from fedrun.local.sgd import sgd
from fedrun.model.cnn import cnn
from fedrun.privacy._stream import streams

pytestmark = pytest.mark.usefixtures("private_kernel")

SECRET = streams("seeded", 7)
HELD = Ragged.of([np.arange(23), np.arange(23, 25), np.arange(25, 65)])


def problem(sizes, kind="classes", rows=65):
    torch.manual_seed(0)
    layers = [nn.Flatten()]
    for inputs, outputs in pairwise(sizes[:-1]):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    module = nn.Sequential(*layers, nn.Linear(sizes[-2], sizes[-1]))
    classes = tuple(map(str, range(2 if kind == "binary" else sizes[-1])))
    task = Task(module, Spec((sizes[0],), sizes[-1], kind, () if kind == "number" else classes))
    draw = torch.Generator().manual_seed(1)
    x = torch.randn(rows, sizes[0], generator=draw)
    if kind == "number":
        return task, Examples(x, torch.randn(rows, sizes[-1], generator=draw))
    return task, Examples(x, torch.randint(0, len(classes), (rows,), generator=draw))


def both(task, examples, local, steps, held=HELD, plan=None, **given):
    """The same by the kernel and layer by layer, and the plan and the start."""
    numbers = np.arange(len(held))
    plan = plan or poisson_plan(held, local.work, steps.streams, 1, numbers)
    start = expand(task.current(), len(plan.client))
    found = [
        private(task, examples, local, compiled)(steps)(plan)(start, **given)
        for compiled in (True, False)
    ]
    return *found, plan, start


def flat(tree):
    return torch.cat([leaf.double().flatten(1) for leaf in tree.values()], 1)


def assert_alike(ours, theirs, start):
    """To a few roundings of float32; noise included, of which a sum that lies between two steps of
    the grid may take another one, here of 4e-6 at most."""
    start, ends = flat(start), flat(theirs.params)
    rounding = 2e-6 * float((ends - start).norm()) + 2e-7 * float(start.norm())
    differ = flat(ours.params) - ends
    few = differ.abs() > rounding
    assert int(few.sum()) <= 4
    assert float(differ.abs().max()) <= rounding + 4e-6
    assert float(differ[~few].norm()) <= rounding
    assert list(ours.params) == list(theirs.params)
    assert torch.equal(ours.steps, theirs.steps)
    torch.testing.assert_close(ours.sums, theirs.sums, rtol=1e-4, atol=1e-4)


def hiding(noise_multiplier=1.0, clip_norm=0.5):
    return PrivateSteps(clip_norm=clip_norm, noise_multiplier=noise_multiplier, streams=SECRET)


@pytest.mark.parametrize(
    ("sizes", "kind"),
    [
        ((60, 10), "classes"), ((7, 130, 33, 5, 3), "classes"), ((129, 257, 31), "classes"),
        ((256, 64, 40), "classes"), ((1, 1, 2), "classes"), ((30, 1), "binary"),
        ((30, 9, 1), "binary"), ((5, 17, 2), "number"), ((6, 150), "number"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("batch_size", [3, 20, 0])
def test_every_shape_kind_and_batch(sizes, kind, batch_size):
    task, examples = problem(sizes, kind)
    local = sgd(1, lr=0.05, batch_size=batch_size, steps=3)
    assert_alike(*[both(task, examples, local, hiding())[k] for k in (0, 1, 3)])


@pytest.mark.parametrize("only", [None, ["3.weight"], ["1.bias", "5.weight", "5.bias"]])
@pytest.mark.parametrize("options", [{}, {"momentum": 0.9, "weight_decay": 0.1}])
@pytest.mark.parametrize("terms", [(), ("drift",), ("anchor",), ("drift", "anchor")])
@pytest.mark.parametrize("noise_multiplier", [0.0, 1.0])
def test_every_term_and_part_of_the_model(only, options, terms, noise_multiplier):
    task, examples = problem((40, 33, 20, 4))
    trees = {name: 0.1 * (expand(task.current(), 3) + k) for k, name in enumerate(terms)}
    local = sgd(1, lr=0.05, batch_size=7, steps=3, **options)
    given = {**trees, "mu": 0.3, "only": only}
    ours, theirs, _, start = both(task, examples, local, hiding(noise_multiplier), **given)
    assert_alike(ours, theirs, start)
    for name in start:
        still = torch.equal(ours.params[name], start[name])
        assert still == (only is not None and name not in only)


@pytest.mark.parametrize("noise_multiplier", [0.0, 1.0])
def test_batches_that_are_cut_and_that_are_empty(noise_multiplier):
    task, examples = problem((20, 70, 3), rows=1300)
    rows = np.arange(1300)
    end = np.array([0, 1300, 1300, 1310, 1310 + 512, 1310 + 512])
    plan = ChunkPlan(1, np.array([4]), np.array([0, 6]), np.append(0, end[:-1]), end,
                     np.append(rows, rows[:600]), 2, np.array([300.0]))  # fmt: skip
    ours, theirs, _, start = both(task, examples, sgd(1), hiding(noise_multiplier), plan=plan)
    assert_alike(ours, theirs, start)
    assert ours.sums[0, 2] == 1822


def test_without_noise_and_clip_whole_batches_are_the_plain_kernel():
    task, examples = problem((50, 40, 30, 4))
    local = sgd(1, lr=0.1, batch_size=0, epochs=3, momentum=0.5)
    ours, _, plan, start = both(task, examples, local, hiding(0.0, 1e6))
    whole = ChunkPlan(1, plan.client, plan.first, plan.begin, plan.end, plan.rows)
    assert_alike(ours, native(task, examples, local, 0).solver(whole)(start), start)


def test_m11_what_is_not_finite_counts_as_nothing():
    task, examples = problem((12, 9, 3))
    examples.x[0, 0], examples.x[1, 3], examples.x[2, 5] = float("inf"), float("nan"), 1e30
    local = sgd(1, lr=0.5, batch_size=0, steps=2)
    for steps in (hiding(0.0), hiding()):
        ours, theirs, _, start = both(task, examples, local, steps)
        assert flat(ours.params).isfinite().all()
        moved = (flat(theirs.params) - flat(start)).norm()
        assert float((flat(ours.params) - flat(theirs.params)).norm()) <= 1e-5 * moved
    left = np.arange(3, 23)
    plan = ChunkPlan(1, np.array([0]), np.array([0, 1]), np.array([0]), np.array([20]), left,
                     expected=np.array([23.0]))  # fmt: skip
    good = both(task, examples, sgd(1, lr=0.5), hiding(0.0), plan=plan)[0]
    once = sgd(1, lr=0.5, batch_size=0, steps=1)
    bad = both(task, examples, once, hiding(0.0))[0]
    assert torch.equal(flat(bad.params)[0], flat(good.params)[0])


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from([(9, 3), (12, 9, 3)]), st.floats(1e-3, 1e3), st.floats(1e-20, 1e30),
    st.sampled_from([2, 32, 33]), st.integers(0, 3),
)  # fmt: skip
def test_m05_one_more_example_moves_the_release_by_no_more_than_the_clip(
    sizes, clip, size, rows, seed
):
    task, examples = problem(sizes, rows=rows)
    examples.x[rows - 1] *= size
    secret = streams("seeded", seed)
    steps = PrivateSteps(clip_norm=clip, noise_multiplier=1e-3, streams=secret)
    start, ends = expand(task.current(), 1), []
    for count in (rows - 1, rows):  # the same noise; weights start at 0, where float32 is finest
        plan = ChunkPlan(1, np.array([0]), np.array([0, 1]), np.array([0]), np.array([count]),
                         np.arange(count), expected=np.array([1.0]))  # fmt: skip
        made = private(task, examples, sgd(1, lr=1.0), True)(steps)(plan)(start)
        ends.append(flat(made.params))
    bits = 2.0**-23 * float(flat(start).norm() + (ends[0] - flat(start)).norm())
    assert float((ends[1] - ends[0]).norm()) <= clip * (1 + 2.0**-9) + bits


def test_m12_the_noise_is_as_wide_as_said_and_that_of_the_stream():
    task, examples = problem((300, 41), "number")
    with torch.no_grad():
        for p in task.parameters.values():
            p.zero_()
    examples.y.zero_()
    plan = ChunkPlan(3, np.array([5]), np.array([0, 1]), np.array([0]), np.array([9]), np.arange(9),
                     1, np.array([4.0]))  # fmt: skip
    ours = both(task, examples, sgd(1, lr=1.0), hiding(2.0), plan=plan)[0]
    released = flat(ours.params)[0] / (2.0 * 0.5 * MARGIN / 4)
    assert float(released.std()) == pytest.approx(1, rel=0.03)
    normal = SECRET("noise", 3, 5 + (1 << 40)).normal(301 * 41)
    assert float((released + normal).abs().max()) < 1e-4


def test_clients_do_not_depend_on_each_other_and_training_repeats_itself():
    task, examples = problem((12, 30, 3))
    local = sgd(1, batch_size=4, momentum=0.5)
    examples.x[30] = float("nan")  # somebody diverges, or may
    whole, again = (both(task, examples, local, hiding())[0].params for _ in range(2))
    assert torch.equal(flat(whole), flat(again))
    for numbers in ([2], [0, 2], [1]):
        plan = poisson_plan(HELD, local.work, SECRET, 1, np.array(numbers))
        part = both(task, examples, local, hiding(), plan=plan)[0].params
        assert torch.equal(flat(part), flat(whole)[numbers])


@pytest.mark.parametrize("start", [0, 1, 2, 255, 1023, 131_071])
def test_m15_the_words_are_the_keystream_of_aes_256(start):
    key = bytes(range(7, 39))
    cipher = Cipher(algorithms.AES(key), modes.CTR(bytes(16))).encryptor()
    plain = np.frombuffer(cipher.update(bytes(8 * (start + 300))), "<u8")
    loaded = private_network(problem((3, 2))[0]).loaded
    for count in (1, 2, 299):
        np.testing.assert_array_equal(
            keystream(loaded, key, start, count), plain[start : start + count]
        )


def test_the_streams_key_gives_its_words():
    stream = SECRET("noise", 2, 3)
    loaded = private_network(problem((3, 2))[0]).loaded
    np.testing.assert_array_equal(keystream(loaded, stream.key, 0, 99), stream.words(99))


def test_numpys_normals_are_those_of_the_stream():
    words = SECRET("noise", 1, 1).words(20_002)
    normal = SECRET("noise", 1, 1).normal(20_001).numpy()
    np.testing.assert_allclose(box_muller(words)[:20_001], normal, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("count", [3, 8192, 8193, 20_001])
def test_sums_that_are_made_layer_by_layer_have_the_normals_of_the_stream(count):
    steps = PrivateSteps(clip_norm=1.0, noise_multiplier=1.0, streams=SECRET)
    noise = Noise.of(steps, torch.zeros(count, dtype=torch.float64))
    zero = torch.zeros(count, dtype=torch.float64)
    found = noise.added(zero, SECRET("noise", 1, 1), 1.0, zero) * noise.scale
    wanted = (SECRET("noise", 1, 1).normal(count) * noise.deviation).round()
    assert float((found - wanted).abs().max()) <= 1


def test_too_much_noise_for_int32_goes_layer_by_layer():
    task, examples = problem((12, 9, 3))
    local = sgd(1, batch_size=4)
    whole, start = whole_steps(task, examples, local), expand(task.current(), 1)
    names = list(task.parameters)
    _, deviation = whole.grid(start, names, hiding())
    most = MOST / deviation
    assert whole.takes(start, names, hiding(0.99 * most))
    assert not whole.takes(start, names, hiding(1.01 * most))
    ours, theirs, _, start = both(task, examples, local, hiding(0.99 * most))
    assert_alike(ours, theirs, start)
    ours, theirs, _, _ = both(task, examples, local, hiding(1.01 * most))
    assert torch.equal(flat(ours.params), flat(theirs.params))


def test_the_way_and_what_stands_in_it_are_told(monkeypatch, tmp_path):
    task, examples = problem((12, 9, 3))
    local = sgd(1)
    assert native(task, examples, local, 0).general.private_how() == "private: compiled kernel"
    told = private_how(task, examples, adam(1), True)
    assert told.startswith("private: ghost, ")
    assert "local=adam" in told
    spec = Spec((1, 28, 28), 10, "classes", tuple(map(str, range(10))))
    images = Task(cnn(spec, channels=[2, 3], units=5), spec)
    told = native(images, Examples(torch.zeros(1, 1, 28, 28), torch.zeros(1).long()), local, 0)
    assert "linear/ReLU chains" in told.general.private_how()
    double, _ = problem((12, 9, 3))
    assert "float32" in private_how(
        Task(double.module.double(), double.spec), examples, local, True
    )
    monkeypatch.setenv("CXX", "false")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    _private_network.loaded_library.cache_clear()
    try:
        assert "(false could not build it" in private_how(task, examples, local, True)
        broken, wanted, _, _ = both(task, examples, local, hiding())
        assert torch.equal(flat(broken.params), flat(wanted.params))
    finally:
        _private_network.loaded_library.cache_clear()


@pytest.mark.slow
def test_a_kernel_that_computes_something_else_is_not_kept(monkeypatch, tmp_path):
    for path in SOURCE.parent.glob("*.*"):
        text = path.read_text()
        if path.name == "keystream.h":
            text = text.replace("ROUNDS = 14", "ROUNDS = 13")
        (tmp_path / path.name).write_text(text)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(UnavailableError, match="AES-256"):
        _compiler.library(tmp_path / SOURCE.name, _private_network.verify)


def test_other_words_and_other_normals_are_refused(monkeypatch):
    loaded = private_network(problem((3, 2))[0]).loaded
    _private_network.verify(loaded)
    monkeypatch.setattr(_private_network, "box_muller", lambda words: np.zeros(len(words)))
    with pytest.raises(UnavailableError, match="something else than PyTorch"):
        _private_network.verify(loaded)
    monkeypatch.setattr(_private_network, "WORDS", "0" * 64)
    with pytest.raises(UnavailableError, match="AES-256"):
        _private_network.verify(loaded)


def test_a_build_that_failed_is_not_tried_again(monkeypatch):
    tries = []

    def failing(*_: object) -> None:
        tries.append(1)
        raise UnavailableError("no luck")

    monkeypatch.setattr(_private_network, "library", failing)
    _private_network.loaded_library.cache_clear()
    try:
        for _ in range(3):
            with pytest.raises(UnavailableError, match="no luck"):
                private_network(problem((3, 2))[0])
    finally:
        _private_network.loaded_library.cache_clear()
    assert len(tries) == 1
