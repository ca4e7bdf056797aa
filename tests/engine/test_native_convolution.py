"""The compiled kernel's convolutions against the reference in float64."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

from fedrun.core.dataset import Spec
from fedrun.core.partition import Ragged
from fedrun.core.plan import chunk_plan
from fedrun.core.task import Examples, Task
from fedrun.core.tree import Tree, expand
from fedrun.engine import _compiler
from fedrun.engine._shapes import shapes
from fedrun.engine.eager import eager
from fedrun.engine.native import COMPILED, native
from fedrun.local.sgd import sgd

CLASSES = 4
# input shape, then each convolution's outputs, kernel, padding, and what stands behind it
NETWORKS = {
    "McMahan's": ((1, 28, 28), [(32, 5, 2, "relu pool"), (64, 5, 2, "relu pool")], [512]),
    "colours, odd sizes": ((3, 9, 7), [(5, 3, 1, "relu pool")], []),
    "no pool, grey": ((1, 9, 7), [(3, 5, 2, "relu")], [6]),
    "pool first, no padding": ((1, 11, 12), [(17, 3, 0, "pool relu"), (33, 3, 0, "relu")], [5]),
    "three of them": (
        (2, 16, 15),
        [(8, 3, 1, "relu pool"), (16, 3, 2, "relu"), (24, 2, 0, "relu pool")],
        [],
    ),
    "many channels": ((20, 8, 6), [(40, 5, 2, "relu pool")], [3]),
    "long kernel": ((3, 6, 13), [(18, (1, 7), (0, 3), "relu pool"), (2, (3, 1), 1, "relu")], []),
    "one pixel": ((1, 2, 2), [(1, 1, 0, "relu pool")], []),
    "wide padding": ((2, 3, 3), [(3, 2, 4, "relu pool")], [4]),
}


def network(shape, convolutions, hidden):
    torch.manual_seed(0)
    layers, channels = [], shape[0]
    for outputs, size, padding, behind in convolutions:
        layers.append(nn.Conv2d(channels, outputs, size, padding=padding))
        layers += [nn.ReLU() if word == "relu" else nn.MaxPool2d(2) for word in behind.split()]
        channels = outputs
    layers.append(nn.Flatten())
    width = nn.Sequential(*layers)(torch.zeros(1, *shape)).shape[1]
    for units in hidden:
        layers += [nn.Linear(width, units), nn.ReLU()]
        width = units
    return nn.Sequential(*layers, nn.Linear(width, CLASSES))


def problem(name, held=(23, 1, 12)):
    """A task, examples of which some are blank or of few grey levels, and clients of such sizes."""
    shape, convolutions, hidden = NETWORKS[name]
    draw, rows = torch.Generator().manual_seed(1), sum(held)
    x = torch.randn(rows, *shape, generator=draw)
    x[::5] = 0
    x[1::5] = x[1::5].round()
    y = torch.randint(0, CLASSES, (rows,), generator=draw)
    spec = Spec(shape, CLASSES, "classes", tuple("abcd"))
    starts = np.cumsum([0, *held])
    lists = [np.arange(a, b) for a, b in pairwise(starts)]
    return Task(network(shape, convolutions, hidden), spec), Examples(x, y), Ragged.of(lists)


def reference(task, data, local, seed):
    return eager(task, data, local, seed)


def solved(make, task, examples, held, local, dtype=torch.float32, **terms):
    task = Task(task.module.to(dtype), task.spec)
    plan = chunk_plan(held, local.work, 0, 1, np.arange(len(held)))
    start = expand(task.current(), len(held))
    mu = terms.pop("mu", 0.0)
    extra = {
        name: Tree((key, leaf.to(dtype)) for key, leaf in tree.items())
        for name, tree in terms.items()
    }
    engine = make(task, Examples(examples.x.to(dtype), examples.y), local, 0)
    assert engine.how == (COMPILED if make is native else "autograd")
    found = engine.solver(plan)(start, mu=mu, **extra)
    task.module.float()
    return found, start


def assert_near_the_truth(name, local, held=(23, 1, 12), **terms):
    """As near to a float64 run as 1e-5 of the update, or twice the reference's own distance."""
    task, examples, clients = problem(name, held)
    truth, start = solved(reference, task, examples, clients, local, torch.float64, **terms)
    plain, _ = solved(reference, task, examples, clients, local, **terms)
    ours, _ = solved(native, task, examples, clients, local, **terms)

    def flat(tree):
        return torch.cat([leaf.double().flatten(1) for leaf in tree.values()], 1)

    true = flat(truth.params)
    length = (true - flat(start)).norm()
    allowed = max(1e-5 * length, 2 * (flat(plain.params) - true).norm())
    assert (flat(ours.params) - true).norm() <= allowed
    torch.testing.assert_close(ours.sums, truth.sums, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("batch_size", [10, 1, 32])
def test_every_network_and_batch(name, batch_size):
    assert_near_the_truth(name, sgd(1, lr=0.02, batch_size=batch_size))


LOCALS = {
    "plain": {},
    "weight decay": {"weight_decay": 0.1},
    "momentum": {"momentum": 0.9},
    "clipped": {"clip_norm": 0.3},
    "all of it": {"clip_norm": 0.3, "momentum": 0.5, "weight_decay": 0.1},
}


@pytest.mark.parametrize("options", LOCALS.values(), ids=LOCALS)
@pytest.mark.parametrize("extra", ["", "drift", "anchor", "both"])
@pytest.mark.parametrize("name", ["three of them", "colours, odd sizes"])
def test_every_term_of_the_objective(name, options, extra):
    task, _, held = problem(name)
    # A seed that leaves no maximum within a rounding of 0 or of its neighbour: there float32 may
    # take the other side of ReLU or another winner, and go another way.
    draw = torch.Generator().manual_seed(3)
    terms = {}
    for term in ("drift", "anchor"):
        if extra in (term, "both"):
            like = expand(task.current(), len(held))
            terms[term] = like.map(lambda leaf: 0.1 * torch.randn(leaf.shape, generator=draw))
    if "anchor" in terms:
        terms["mu"] = 0.3
    assert_near_the_truth(name, sgd(1, lr=0.02, epochs=2, **options), **terms)


@pytest.mark.parametrize("behind", ["relu pool", "pool relu"])
def test_of_equal_maxima_the_first_gets_the_slope(behind, monkeypatch):
    monkeypatch.setitem(NETWORKS, "ties", ((2, 8, 8), [(3, 3, 1, behind)], []))
    task, examples, held = problem("ties", held=(10, 1, 10))  # a step each
    examples.x.round_().clamp_(-1, 1)
    with torch.no_grad():  # sums of whole numbers are exact; the other weights' gradients differ
        task.module[0].weight.zero_()[..., 1, 1] = 1
        task.module[0].bias.zero_()
    local = sgd(1, lr=0.02)
    ours, start = solved(native, task, examples, held, local)
    theirs, _ = solved(reference, task, examples, held, local)
    for key, leaf in theirs.params.items():
        torch.testing.assert_close(ours.params[key], leaf, rtol=1e-5, atol=1e-6)
    assert (ours.params["0.weight"] != start["0.weight"]).any()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite_stays_with_its_client(value):
    task, examples, held = problem("three of them", held=(12, 11, 12))
    examples.x[15, 1, 3, 3] = value  # an example of the second client
    found, _ = solved(native, task, examples, held, sgd(1))
    finite = [all(bool(p[k].isfinite().all()) for p in found.params.values()) for k in range(3)]
    assert finite == [True, False, True]
    assert not found.sums[1, 0].isfinite()


def test_a_chunk_is_as_good_as_each_client_alone():
    task, examples, held = problem("three of them")
    local = sgd(1, momentum=0.5, clip_norm=0.5)
    run = native(task, examples, local, 0).solver
    everybody = run(chunk_plan(held, local.work, 0, 1, np.arange(3)))(expand(task.current(), 3))
    for k in range(3):
        alone = run(chunk_plan(held, local.work, 0, 1, np.array([k])))(expand(task.current(), 1))
        for name, leaf in alone.params.items():
            assert torch.equal(leaf[0], everybody.params[name][k])


@pytest.mark.slow
@pytest.mark.parametrize("isa", [["-mavx2", "-mfma"], ["-msse2"]])
def test_it_computes_the_same_on_older_processors(isa, monkeypatch, tmp_path):
    if _compiler.platform.machine() != "x86_64":
        pytest.skip("these are instruction sets of x86-64")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    flags = [flag for flag in _compiler.FLAGS if not flag.startswith("-march")]
    monkeypatch.setattr(_compiler, "FLAGS", (*flags, *isa))
    assert_near_the_truth("three of them", sgd(1, lr=0.02, momentum=0.5))
    assert_near_the_truth("many channels", sgd(1, lr=0.02))
    assert len(list((tmp_path / "fedrun").glob("*.so"))) == 1


def known(*layers, shape=(1, 6, 6)):
    spec = Spec(shape, 3, "classes", ("a", "b", "c"))
    return shapes(Task(nn.Sequential(*layers), spec))


def test_which_networks_it_knows():
    relu, pool, flat = nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()
    conv, end = nn.Conv2d(1, 2, 3), nn.Linear(8, 3)
    found = known(conv, relu, pool, flat, end)
    assert found is not None
    assert found.sizes == [8, 3]
    assert found.products == 2 * 9 * 16 + 8 * 3
    assert known(conv, pool, relu, flat, end) == found
    assert known(conv, relu, flat, nn.Linear(32, 3)) is not None
    for layers in (
        [conv, flat, nn.Linear(32, 3)],
        [conv, pool, flat, end],
        [pool, conv, relu, flat, nn.Linear(2, 3)],
        [conv, relu, pool, relu, flat, end],
        [conv, relu, nn.MaxPool2d(2, 1), flat, nn.Linear(18, 3)],
        [conv, relu, nn.MaxPool2d(2, 2, 1), flat, nn.Linear(18, 3)],
        [conv, relu, nn.MaxPool2d(2, ceil_mode=True), flat, end],
        [nn.Conv2d(1, 2, 3, stride=2), relu, flat, end],
        [nn.Conv2d(1, 2, 3, dilation=2), relu, flat, end],
        [nn.Conv2d(1, 2, 3, bias=False), relu, pool, flat, end],
        [conv, relu, pool, flat, nn.Linear(8, 3, bias=False)],
        [conv, relu, pool, flat, end, relu],
        [conv, relu, pool, flat, relu, end],
        [conv, relu, pool, flat],
        [conv, relu, pool, nn.Flatten(2), end],
        [conv, relu, pool, flat, end, nn.Linear(3, 3)],
    ):
        assert known(*layers) is None
    grouped = nn.Conv2d(2, 2, 3, groups=2)
    assert known(grouped, relu, pool, flat, end, shape=(2, 6, 6)) is None
