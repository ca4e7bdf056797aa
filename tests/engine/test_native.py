"""The compiled kernel against the reference in float64, and the ways around a missing compiler."""

import shutil
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

from fedrun.core.dataset import Spec
from fedrun.core.option import ConfigError
from fedrun.core.partition import Ragged
from fedrun.core.plan import chunk_plan
from fedrun.core.task import Examples, Task
from fedrun.core.tree import Tree, expand
from fedrun.engine import _compiler
from fedrun.engine._compiler import UnavailableError, library
from fedrun.engine._kernel import SOURCE, network_kernel, verify
from fedrun.engine._shapes import shapes
from fedrun.engine.auto import auto
from fedrun.engine.eager import eager
from fedrun.engine.native import COMPILED, chunk_size, native
from fedrun.local.adam import adam
from fedrun.local.sgd import sgd


def perceptron(*sizes):
    torch.manual_seed(0)
    layers = [nn.Flatten()]
    for inputs, outputs in pairwise(sizes[:-1]):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(sizes[-2], sizes[-1]))


def problem(sizes, kind, held=(23, 1, 40)):
    """A task, examples, and clients that hold so many of them."""
    draw, rows = torch.Generator().manual_seed(1), sum(held)
    classes = tuple(map(str, range(2 if kind == "binary" else sizes[-1])))
    spec = Spec((sizes[0],), sizes[-1], kind, () if kind == "number" else classes)
    x = torch.randn(rows, sizes[0], generator=draw)
    if kind == "number":
        y = torch.randn(rows, sizes[-1], generator=draw)
    else:
        y = torch.randint(0, len(classes), (rows,), generator=draw)
    starts = np.cumsum([0, *held])
    lists = [np.arange(a, b) for a, b in pairwise(starts)]
    return Task(perceptron(*sizes), spec), Examples(x, y), Ragged.of(lists)


def solved(make, task, examples, held, local, dtype=torch.float32, **terms):
    task = Task(task.module.to(dtype), task.spec)
    number = examples.y.dtype.is_floating_point
    data = Examples(examples.x.to(dtype), examples.y.to(dtype) if number else examples.y)
    plan = chunk_plan(held, local.work, 0, 1, np.arange(len(held)))
    start = expand(task.current(), len(held))
    extra = {
        name: Tree((key, leaf.to(dtype)) for key, leaf in tree.items())
        for name, tree in terms.items()
        if name != "mu"
    }
    found = make(task, data, local, 0).solver(plan)(start, mu=terms.get("mu", 0.0), **extra)
    task.module.float()
    return found, start


def reference(task, data, local, seed):
    return eager(task, data, local, seed)


def assert_near_the_truth(sizes, kind, local, **terms):
    """As near to a float64 run as 1e-5 of the update, or twice the reference's own distance."""
    task, examples, held = problem(sizes, kind)
    truth, start = solved(reference, task, examples, held, local, torch.float64, **terms)
    plain, _ = solved(reference, task, examples, held, local, **terms)
    ours, _ = solved(native, task, examples, held, local, **terms)

    def flat(tree):
        return torch.cat([leaf.double().flatten(1) for leaf in tree.values()], 1)

    true = flat(truth.params)
    length = (true - flat(start)).norm()
    allowed = max(1e-5 * length, 2 * (flat(plain.params) - true).norm())
    assert (flat(ours.params) - true).norm() <= allowed
    assert ours.params["1.weight"].dtype == torch.float32
    torch.testing.assert_close(ours.sums, truth.sums, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("sizes", "kind"),
    [
        ((784, 200, 200, 10), "classes"), ((60, 10), "classes"), ((7, 130, 33, 5, 3), "classes"),
        ((129, 257, 31), "classes"), ((300, 64, 140), "classes"), ((1, 1, 2), "classes"),
        ((30, 1), "binary"), ((30, 9, 1), "binary"), ((5, 17, 2), "number"), ((6, 150), "number"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("batch_size", [10, 1, 3, 32, 0])
def test_every_shape_kind_and_batch(sizes, kind, batch_size):
    assert_near_the_truth(sizes, kind, sgd(1, lr=0.05, batch_size=batch_size))


LOCALS = {
    "plain": {},
    "weight decay": {"weight_decay": 0.1},
    "momentum": {"momentum": 0.9},
    "momentum and decay": {"momentum": 0.9, "weight_decay": 0.1},
    "clipped": {"clip_norm": 0.3},
    "all of it": {"clip_norm": 0.3, "momentum": 0.5, "weight_decay": 0.1},
}


@pytest.mark.parametrize("options", LOCALS.values(), ids=LOCALS)
@pytest.mark.parametrize("batch_size", [10, 64])
@pytest.mark.parametrize("extra", ["", "drift", "anchor", "both"])
def test_every_term_of_the_objective(options, batch_size, extra):
    sizes = (40, 33, 20, 4)
    task, _, held = problem(sizes, "classes")
    draw = torch.Generator().manual_seed(2)
    terms = {}
    for name in ("drift", "anchor"):
        if extra in (name, "both"):
            shapes = expand(task.current(), len(held))
            terms[name] = shapes.map(lambda leaf: 0.1 * torch.randn(leaf.shape, generator=draw))
    if "anchor" in terms:
        terms["mu"] = 0.3
    local = sgd(1, lr=0.05, epochs=2, batch_size=batch_size, **options)
    assert_near_the_truth(sizes, "classes", local, **terms)


def test_clients_that_start_from_models_of_their_own():
    task, examples, held = problem((12, 7, 3), "classes")
    local = sgd(1)
    plan = chunk_plan(held, local.work, 0, 1, np.arange(len(held)))
    draw = torch.Generator().manual_seed(3)
    start = expand(task.current(), len(held)).map(
        lambda leaf: leaf + torch.randn(leaf.shape, generator=draw)
    )
    before = start.map(torch.clone)
    ours = native(task, examples, local, 0).solver(plan)(start)
    theirs = eager(task, examples, local, 0).solver(plan)(start)
    for name, leaf in theirs.params.items():
        torch.testing.assert_close(ours.params[name], leaf, rtol=1e-5, atol=1e-6)
        assert torch.equal(start[name], before[name])


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite_stays_so(value):
    task, examples, held = problem((12, 7, 3), "classes")
    examples.x[30, 2] = value  # an example of the third client
    found, _ = solved(native, task, examples, held, sgd(1))
    finite = [all(bool(leaf[k].isfinite().all()) for leaf in found.params.values()) for k in (0, 2)]
    assert finite == [True, False]


def test_a_chunk_is_as_good_as_each_client_alone():
    task, examples, held = problem((12, 20, 3), "classes")
    local = sgd(1, momentum=0.5)
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
    assert_near_the_truth((40, 33, 20, 4), "classes", sgd(1, lr=0.05, momentum=0.5))
    assert_near_the_truth((7, 2), "classes", sgd(1, lr=0.05))
    assert len(list((tmp_path / "fedrun").glob("*.so"))) == 1


@pytest.mark.slow
def test_it_is_built_once_and_found_again(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    library(SOURCE, verify)
    kept = list((tmp_path / "fedrun").iterdir())
    assert sorted(path.suffix for path in kept) == [".sha256", ".so"]
    monkeypatch.setattr(_compiler, "build", None)  # would fail if it were asked for
    library(SOURCE, verify)


@pytest.mark.slow
def test_without_a_place_to_keep_it_it_is_built_each_time(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    library(SOURCE, verify)
    library(SOURCE, verify)


BROKEN = {
    "false": "could not build it: no message",
    "/no/such/compiler": r"no C\+\+ compiler .* is installed",
}


@pytest.mark.parametrize("compiler", ["false", "/no/such/compiler"])
def test_without_a_compiler_other_ways_are_taken(compiler, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("CXX", compiler)
    task, examples, held = problem((12, 7, 3), "classes")
    with pytest.raises(UnavailableError, match=BROKEN[compiler]):
        network_kernel(task, shapes(task))
    made = native(task, examples, sgd(1), 0)
    assert (made.how, bool(made.why)) == ("PyTorch operations", True)
    assert auto(task, examples, sgd(1), 0).name == "stack"
    found, _ = solved(native, task, examples, held, sgd(1))
    expected, _ = solved(reference, task, examples, held, sgd(1))
    for name, leaf in expected.params.items():
        torch.testing.assert_close(found.params[name], leaf, rtol=1e-5, atol=1e-6)
    assert not (tmp_path / "fedrun").exists()


WRONG = {
    "loss": ("loss.h", "*at(int(y)) -= scale;", "*at(int(y)) += scale;"),
    "pool": ("convolution.h", "q < SIDE * SIDE", "q < SIDE"),
}


@pytest.mark.slow
@pytest.mark.parametrize(("file", "right", "wrong"), WRONG.values(), ids=WRONG)
def test_a_build_that_computes_something_else_is_not_used(
    file, right, wrong, monkeypatch, tmp_path
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = tmp_path / "kernel"
    shutil.copytree(SOURCE.parent, folder)
    text = (folder / file).read_text()
    assert text.count(right) == 1
    (folder / file).write_text(text.replace(right, wrong))
    with pytest.raises(UnavailableError, match="something else than PyTorch"):
        library(folder / SOURCE.name, verify)
    assert not (tmp_path / "fedrun").exists()


@pytest.mark.slow
def test_each_of_its_files_decides_which_build_is_found(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = tmp_path / "kernel"
    shutil.copytree(SOURCE.parent, folder)
    first = library(folder / SOURCE.name, verify)._name
    found, kept = {first}, next((tmp_path / "fedrun").glob("*.so"))
    # what is built does not matter, and building takes seconds
    monkeypatch.setattr(_compiler, "build", lambda _, target: shutil.copyfile(kept, target))
    for path in sorted(folder.iterdir()):
        path.write_text(path.read_text() + "\n")
        found.add(library(folder / SOURCE.name, lambda _: None)._name)
    assert len(found) == 1 + len(list(folder.iterdir()))


def test_what_each_engine_is_taken_for():
    task, examples, _ = problem((12, 7, 3), "classes")
    assert native(task, examples, sgd(1), 0).how == COMPILED
    assert native(task, examples, adam(1), 0).why == "the kernel knows no local=adam"

    def chosen(module, shape, local):
        spec = Spec(shape, 3, "classes", ("a", "b", "c"))
        data = Examples(torch.zeros(4, *shape), torch.zeros(4, dtype=torch.int64))
        made = auto(Task(module, spec), data, local, 0)
        return made.name, made.how.partition(" (")[0]

    images = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8, 3))
    assert chosen(perceptron(12, 7, 3), (12,), sgd(1)) == ("native", COMPILED)
    assert chosen(perceptron(12, 7, 3), (12,), adam(1)) == ("stack", "lockstep, written out")
    assert chosen(images, (1, 4, 4), adam(1)) == ("native", "PyTorch operations")
    assert chosen(images, (1, 4, 4), sgd(1)) == ("native", COMPILED)
    strided = nn.Sequential(nn.Conv2d(1, 2, 2, 2), nn.ReLU(), nn.Flatten(), nn.Linear(8, 3))
    assert chosen(strided, (1, 4, 4), sgd(1)) == ("native", "PyTorch operations")
    small = nn.Sequential(nn.Linear(12, 3), nn.Tanh())
    assert chosen(small, (12,), sgd(1)) == ("stack", "lockstep, lifted by vmap")
    large = nn.Sequential(nn.Linear(12, 9000), nn.Tanh(), nn.Linear(9000, 3))
    assert chosen(large, (12,), sgd(1)) == ("eager", "autograd")
    dropping = nn.Sequential(nn.Linear(12, 3), nn.Dropout())
    assert chosen(dropping, (12,), sgd(1)) == ("eager", "autograd")


def test_another_model_is_refused():
    task, examples, _ = problem((12, 7, 3), "classes")
    tanh = Task(nn.Sequential(nn.Linear(12, 3), nn.Tanh()), task.spec)
    with pytest.raises(ConfigError, match=r"engine=native trains a Sequential of .*engine=auto"):
        native(tanh, examples, sgd(1), 0)


def test_chunks_grow_where_clients_are_tiny():
    assert chunk_size(600, sgd(1), cohort=100, steps=3) == 100
    assert chunk_size(600, sgd(1), cohort=100, steps=1000) == 7
    assert chunk_size(198_800, sgd(1), cohort=10, steps=300) == 1


def poisoned(held, bad):
    """How a chunk's other clients are trained beside one whose examples are not finite."""
    trained = []
    for value in (0.5, float("nan"), float("inf")):
        task, examples, rows = problem(held["sizes"], held["kind"], (9, 8, 7, 6))
        examples.x[3, 0] = value if bad else 0.5  # an example of the first client
        local = sgd(1, lr=0.05, batch_size=4, **held["options"])
        found, _ = solved(native, task, examples, rows, local)
        trained.append([torch.cat([p[k].flatten() for p in found.params.values()])
                        for k in range(1, 4)])  # fmt: skip
    return trained


@pytest.mark.parametrize("options", LOCALS.values(), ids=LOCALS)
@pytest.mark.parametrize(
    ("sizes", "kind"),
    [((12, 7, 3), "classes"), ((12, 16, 16), "classes"), ((12, 5, 1), "binary"),
     ((12, 20, 2), "number"), ((12, 3), "classes")],
)  # fmt: skip
def test_a_client_that_diverges_leaves_its_neighbours_alone(sizes, kind, options):
    healthy, *others = poisoned({"sizes": sizes, "kind": kind, "options": options}, bad=True)
    for other in others:
        for one, two in zip(healthy, other, strict=True):
            assert torch.equal(one, two)
            assert bool(one.isfinite().all())


@pytest.mark.slow
@pytest.mark.parametrize("mu", [1e-3, 0.05])
def test_many_steps_with_a_small_pull_are_not_biased(mu):
    # A pull folded into the weights as (1 - lr mu) w would be rounded alike in all 4,000 steps.
    sizes = (12, 8, 3)
    task, _, held = problem(sizes, "classes", (40, 40))
    anchor = expand(task.current(), 2).map(lambda leaf: leaf + 1)
    local = sgd(1, lr=0.01, epochs=1000, batch_size=10)
    task, examples, held = problem(sizes, "classes", (40, 40))
    truth, start = solved(reference, task, examples, held, local, torch.float64,
                          anchor=anchor, mu=mu)  # fmt: skip
    ours, _ = solved(native, task, examples, held, local, anchor=anchor, mu=mu)
    for name, leaf in truth.params.items():
        moved = (leaf - start[name]).norm()
        assert (ours.params[name].double() - leaf).norm() <= 1e-4 * moved


def test_terms_in_double_precision_are_taken_as_what_they_are():
    task, examples, held = problem((12, 7, 3), "classes")
    drift = expand(task.current(), 3).map(lambda leaf: 0.1 * leaf)
    plan = chunk_plan(held, sgd(1).work, 0, 1, np.arange(3))
    solve = native(task, examples, sgd(1), 0).solver(plan)
    start = expand(task.current(), 3)
    found = solve(start, drift=drift.map(torch.Tensor.double)).params
    assert all(torch.equal(leaf, found[k]) for k, leaf in solve(start, drift=drift).params.items())
    with pytest.raises(ValueError, match="was expected"):
        solve(start, drift=drift.map(lambda leaf: leaf[..., :1]))


@pytest.mark.slow
def test_a_library_that_was_cut_short_is_built_again(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    library(SOURCE, verify)
    kept = next((tmp_path / "fedrun").glob("*.so"))
    whole = kept.read_bytes()
    for damaged in (whole[:20_000], b"", whole[:12288] + bytes(4096) + whole[16384:]):
        kept.write_bytes(damaged)
        library(SOURCE, verify)
        assert kept.stat().st_size == len(whole)


@pytest.mark.slow
def test_a_compiler_may_be_several_words(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("CXX", "c++ -DNOTHING=1")
    library(SOURCE, verify)


def test_nothing_is_loaded_from_the_folder_one_stands_in(monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "cache")
    monkeypatch.setenv("HOME", "/home/somebody")
    assert str(_compiler.cache_folder()) == "/home/somebody/.cache/fedrun"
    monkeypatch.setattr(_compiler.os.path, "expanduser", lambda path: path)
    assert _compiler.cache_folder() is None
