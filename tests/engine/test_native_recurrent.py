"""The compiled kernel's LSTM against the reference in float64, and by hand."""

import math
import shutil
from concurrent.futures import ThreadPoolExecutor
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
from fedrun.engine._recurrent import SOURCE, outputs_of, recurrent, verify
from fedrun.engine.auto import auto
from fedrun.engine.eager import eager
from fedrun.engine.native import AUTOGRAD, COMPILED, native
from fedrun.local.adam import adam
from fedrun.local.sgd import sgd


class Reader(nn.Module):
    """Embedding, LSTM, Linear; answers at every position or at the last."""

    LAYERS_ALONE = True

    def __init__(self, symbols, embedding, hidden, layers, outputs, every):
        super().__init__()
        self.table = nn.Embedding(symbols, embedding)
        self.lstm = nn.LSTM(embedding, hidden, layers, batch_first=True)
        self.scores = nn.Linear(hidden, outputs)
        self.every = every

    def forward(self, x):
        read, _ = self.lstm(self.table(x))
        return self.scores(read if self.every else read[:, -1])


# symbols, embedding, hidden, layers, outputs of the classes; positions
NETWORKS = {
    "as McMahan's, short": (90, 8, 256, 2, None, 12),
    "one layer": (11, 8, 32, 1, None, 9),
    "odd sizes, three layers": (7, 3, 35, 3, None, 5),
    "wide embedding": (13, 40, 17, 2, None, 4),
    "one position, one unit": (5, 1, 1, 1, None, 1),
    "classes": (9, 5, 33, 2, 3, 7),
    "classes, one layer": (6, 8, 64, 1, 40, 3),
    "classes, one position": (6, 8, 6, 2, 2, 1),
}


def task_of(name):
    symbols, embedding, hidden, layers, outputs, positions = NETWORKS[name]
    torch.manual_seed(0)
    module = Reader(symbols, embedding, hidden, layers, outputs or symbols, not outputs)
    labels = tuple(map(str, range(outputs or symbols)))
    kind = "classes" if outputs else "tokens"
    return Task(module, Spec((positions,), len(labels), kind, labels, vocabulary=symbols))


def problem(name, held=(23, 1, 12)):
    """A task, examples, and clients that hold so many of them."""
    task, rows = task_of(name), sum(held)
    draw = torch.Generator().manual_seed(1)
    x = torch.randint(task.spec.vocabulary, (rows, *task.spec.input_shape), generator=draw)
    y = torch.randint(task.spec.outputs, (rows, *task.spec.target_shape), generator=draw)
    starts = np.cumsum([0, *held])
    return task, Examples(x, y), Ragged.of([np.arange(a, b) for a, b in pairwise(starts)])


def reference(task, data, local, seed):
    return eager(task, data, local, seed)


def solved(make, task, examples, held, local, dtype=torch.float32, mu=0.0, **terms):
    task = Task(task.module.to(dtype), task.spec)
    plan = chunk_plan(held, local.work, 0, 1, np.arange(len(held)))
    start = expand(task.current(), len(held))
    extra = {
        name: Tree((key, leaf.to(dtype)) for key, leaf in tree.items())
        for name, tree in terms.items()
    }
    found = make(task, examples, local, 0).solver(plan)(start, mu=mu, **extra)
    task.module.float()
    return found, start


def flat(tree):
    return torch.cat([leaf.double().flatten(1) for leaf in tree.values()], 1)


def assert_near_the_truth(name, local, **terms):
    """As near to a float64 run as 1e-5 of the update, or twice the reference's own distance."""
    task, examples, held = problem(name)
    assert native(task, examples, local, 0).how == COMPILED
    truth, start = solved(reference, task, examples, held, local, torch.float64, **terms)
    plain, _ = solved(reference, task, examples, held, local, **terms)
    ours, _ = solved(native, task, examples, held, local, **terms)
    true = flat(truth.params)
    length = (true - flat(start)).norm()
    allowed = max(1e-5 * length, 2 * (flat(plain.params) - true).norm())
    assert (flat(ours.params) - true).norm() <= allowed
    torch.testing.assert_close(ours.sums, truth.sums, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("batch_size", [10, 1, 7, 0])
def test_every_network_and_batch(name, batch_size):
    assert_near_the_truth(name, sgd(1, lr=0.5, batch_size=batch_size))


LOCALS = {
    "plain": {},
    "weight decay": {"weight_decay": 0.1},
    "momentum": {"momentum": 0.9},
    "clipped": {"clip_norm": 0.3},
    "all of it": {"clip_norm": 0.3, "momentum": 0.5, "weight_decay": 0.1},
}


@pytest.mark.slow
@pytest.mark.parametrize("options", LOCALS.values(), ids=LOCALS)
@pytest.mark.parametrize("extra", ["", "drift", "anchor", "both"])
@pytest.mark.parametrize("name", ["odd sizes, three layers", "classes"])
def test_every_term_of_the_objective(name, options, extra):
    task, _, held = problem(name)
    draw = torch.Generator().manual_seed(2)
    terms = {}
    for term in ("drift", "anchor"):
        if extra in (term, "both"):
            like = expand(task.current(), len(held))
            terms[term] = like.map(lambda leaf: 0.1 * torch.randn(leaf.shape, generator=draw))
    if "anchor" in terms:
        terms["mu"] = 0.3
    assert_near_the_truth(name, sgd(1, lr=0.1, epochs=2, **options), **terms)


def one_step(task, x, y, lr):
    x, y = torch.tensor(x), torch.tensor(y)
    found, _ = solved(native, task, Examples(x, y), Ragged.of([np.arange(len(x))]),
                      sgd(1, lr=lr, batch_size=0))  # fmt: skip
    return found


def test_a_network_of_zeros_learns_its_bias_alone():
    task = task_of("one layer")  # 11 symbols, 9 positions
    for p in task.module.parameters():
        nn.init.zeros_(p)
    found = one_step(task, [[1] * 9, [2] * 9], [[3] * 9, [3] * 8 + [0]], lr=0.5)
    frequency = torch.zeros(11)
    frequency[3], frequency[0] = 17 / 18, 1 / 18
    for name, leaf in found.params.items():
        expected = 0.5 * (frequency - 1 / 11) if name == "scores.bias" else torch.zeros(())
        torch.testing.assert_close(leaf[0], expected.expand(leaf[0].shape))
    # all scores are equal: the first symbol is named, which is right at one position of 18
    torch.testing.assert_close(
        found.sums[0], torch.tensor([2 * math.log(11), 1 / 9, 2], dtype=torch.float64)
    )


def test_one_unit_by_hand():
    def sigmoid(v):
        return 1 / (1 + math.exp(-v))

    spec = Spec((2,), 3, "classes", ("a", "b", "c"), vocabulary=4)
    task = Task(Reader(4, 1, 1, 1, 3, every=False), spec)
    gates = {"i": (0.5, -0.3, 0.1), "f": (1.1, 0.4, -0.2), "g": (-0.7, 0.9, 0.3),
             "o": (0.2, -1.3, 0.6)}  # fmt: skip
    table, weight, bias = [0.3, -1.2, 2.0, 0.7], [1.5, -0.4, 0.8], [0.1, 0.2, -0.3]
    numbers = {
        "table.weight": [[v] for v in table],
        "lstm.weight_ih_l0": [[one[0]] for one in gates.values()],
        "lstm.weight_hh_l0": [[one[1]] for one in gates.values()],
        "lstm.bias_ih_l0": [one[2] - 1 for one in gates.values()],
        "lstm.bias_hh_l0": [1.0] * 4,
        "scores.weight": [[v] for v in weight],
        "scores.bias": bias,
    }
    task.load(Tree((name, torch.tensor(values)) for name, values in numbers.items()))
    cell = shown = 0.0
    for symbol in (2, 1):
        z = {key: a * table[symbol] + b * shown + c for key, (a, b, c) in gates.items()}
        cell = sigmoid(z["f"]) * cell + sigmoid(z["i"]) * math.tanh(z["g"])
        shown = sigmoid(z["o"]) * math.tanh(cell)
    powers = [math.exp(w * shown + b) for w, b in zip(weight, bias, strict=True)]
    slopes = [power / sum(powers) - (place == 2) for place, power in enumerate(powers)]
    found = one_step(task, [[2, 1]], [2], lr=0.1)
    assert found.sums[0].tolist() == pytest.approx([-math.log(powers[2] / sum(powers)), 0, 1])
    after = [b - 0.1 * slope for b, slope in zip(bias, slopes, strict=True)]
    assert found.params["scores.bias"][0].tolist() == pytest.approx(after)
    after = [w - 0.1 * slope * shown for w, slope in zip(weight, slopes, strict=True)]
    assert found.params["scores.weight"][0, :, 0].tolist() == pytest.approx(after)
    moved = found.params["table.weight"][0, :, 0] != torch.tensor(table)
    assert moved.tolist() == [False, True, True, False]


@pytest.mark.parametrize("scale", [30.0, 1000.0])
def test_gates_that_are_wide_open_or_shut(scale):
    name = "classes"
    task, examples, held = problem(name, (6,))
    with torch.no_grad():
        task.module.lstm.weight_ih_l0.mul_(scale)
    local = sgd(1, lr=0.1)
    ours, _ = solved(native, task, examples, held, local)
    theirs, _ = solved(reference, task, examples, held, local)
    assert all(bool(leaf.isfinite().all()) for leaf in ours.params.values())
    torch.testing.assert_close(flat(ours.params), flat(theirs.params), rtol=1e-5, atol=1e-5)


def test_clients_that_start_from_models_of_their_own():
    task, examples, held = problem("classes")
    local = sgd(1)
    plan = chunk_plan(held, local.work, 0, 1, np.arange(len(held)))
    draw = torch.Generator().manual_seed(3)
    start = expand(task.current(), len(held)).map(
        lambda leaf: leaf + 0.1 * torch.randn(leaf.shape, generator=draw)
    )
    before = start.map(torch.clone)
    ours = native(task, examples, local, 0).solver(plan)(start)
    theirs = eager(task, examples, local, 0).solver(plan)(start)
    for name, leaf in theirs.params.items():
        torch.testing.assert_close(ours.params[name], leaf, rtol=1e-5, atol=1e-6)
        assert torch.equal(start[name], before[name])


def test_a_chunk_is_as_good_as_each_client_alone():
    task, examples, held = problem("odd sizes, three layers")
    local = sgd(1, momentum=0.5)
    run = native(task, examples, local, 0).solver
    everybody = run(chunk_plan(held, local.work, 0, 1, np.arange(3)))(expand(task.current(), 3))
    for k in range(3):
        alone = run(chunk_plan(held, local.work, 0, 1, np.array([k])))(expand(task.current(), 1))
        for name, leaf in alone.params.items():
            assert torch.equal(leaf[0], everybody.params[name][k])


@pytest.mark.parametrize("options", LOCALS.values(), ids=LOCALS)
@pytest.mark.parametrize("name", NETWORKS)
def test_a_client_that_diverges_leaves_its_neighbours_alone(name, options):
    task, examples, held = problem(name, (9, 8, 7))
    local = sgd(1, lr=0.05, batch_size=4, **options)
    plan = chunk_plan(held, local.work, 0, 1, np.arange(3))
    trained = []
    for value in (0.5, math.nan, math.inf):
        start = expand(task.current(), 3).map(torch.clone)
        start["lstm.weight_hh_l0"][0, 0, 0] = value
        start["scores.weight"][0, 0, 0] = value
        found = native(task, examples, local, 0).solver(plan)(start)
        trained.append([leaf[1:] for leaf in found.params.values()])
        lost = not all(bool(leaf[0].isfinite().all()) for leaf in found.params.values())
        assert lost == (value != 0.5)
    for other in trained[1:]:
        for one, two in zip(trained[0], other, strict=True):
            assert torch.equal(one, two)
            assert bool(one.isfinite().all())


@pytest.mark.parametrize("name", ["classes", "odd sizes, three layers", "one position, one unit"])
def test_what_chunks_before_leave_behind_changes_nothing(name):
    task, examples, held = problem(name)

    def train(client, local, value=None, **terms):
        start = expand(task.current(), 1).map(torch.clone)
        if value is not None:
            start["scores.weight"][0, 0, 0] = value
        plan = chunk_plan(held, local.work, 0, 1, np.array([client]))
        return native(task, examples, local, 0).solver(plan)(start, **terms).params

    with ThreadPoolExecutor(1) as thread:  # a new thread has nothing left
        fresh = thread.submit(train, 2, sgd(1, batch_size=4)).result()
    train(0, sgd(1, batch_size=10), math.nan)
    train(0, sgd(1, batch_size=20, momentum=0.9), drift=expand(task.current(), 1))
    train(1, sgd(1))
    train(0, sgd(1, lr=0.7), math.inf)
    for key, leaf in train(2, sgd(1, batch_size=4)).items():
        assert torch.equal(leaf, fresh[key])


TEXT = ["data=markov_text", "data.clients=4", "data.symbols=9", "data.length=11",
        "partition=natural", "model=char_lstm", "model.hidden=20"]  # fmt: skip


def test_the_number_of_workers_changes_no_bit(federation, play, same):
    options = ["engine=native", "rounds=2", *TEXT]
    assert federation(*options).engine.how == COMPILED
    alone, two = (play(federation(*options, f"engine.workers={count}")) for count in (1, 2))
    for one, other in zip(alone, two, strict=True):
        assert same(one.state.server, other.state.server)


@pytest.mark.slow
@pytest.mark.parametrize("isa", [["-mavx2", "-mfma"], ["-msse2"]])
def test_it_computes_the_same_on_older_processors(isa, monkeypatch, tmp_path):
    if _compiler.platform.machine() != "x86_64":
        pytest.skip("these are instruction sets of x86-64")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    flags = [flag for flag in _compiler.FLAGS if not flag.startswith("-march")]
    monkeypatch.setattr(_compiler, "FLAGS", (*flags, *isa))
    for name in ("odd sizes, three layers", "wide embedding", "classes, one layer"):
        assert_near_the_truth(name, sgd(1, lr=0.5, momentum=0.5))


def test_without_a_compiler_autograd_trains(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("CXX", "/no/such/compiler")
    task, examples, held = problem("classes")
    made = native(task, examples, sgd(1), 0)
    assert (made.name, made.how) == ("native", AUTOGRAD)
    assert "no C++ compiler (/no/such/compiler) is installed" in made.why
    chosen = auto(task, examples, sgd(1), 0)
    assert (chosen.name, chosen.why) == ("eager", made.why)
    found, _ = solved(native, task, examples, held, sgd(1))
    expected, _ = solved(reference, task, examples, held, sgd(1))
    assert all(torch.equal(leaf, found.params[key]) for key, leaf in expected.params.items())


WRONG = {
    "carry": ("cells.h", "if (!at_end) cell +=", "if (false) cell +="),
    "scatter": ("recurrent.h", "embedding.gradient()[to + i] +=", "embedding.gradient()[to + i] ="),
    "last": ("recurrent.h", "every || !is_last", "true"),
    "tangent": ("functions.h", "1.33314422036e-1f", "1.23314422036e-1f"),
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


def test_what_each_engine_is_taken_for():
    task, examples, _ = problem("classes")
    assert auto(task, examples, sgd(1), 0).how == COMPILED
    made = native(task, examples, adam(1), 0)
    assert (made.how, made.why) == (AUTOGRAD, "the kernel knows no local=adam")
    chosen = auto(task, examples, adam(1), 0)
    assert (chosen.name, chosen.why) == ("eager", made.why)


def changed(change):
    """The task of a network with something else about it."""
    task = task_of("classes")
    change(task.module)
    return task


def forward_of(function):
    def change(module):
        module.__class__ = type("Other", (Reader,), {"forward": function})

    return change


def replaced(**layers):
    def change(module):
        for name, layer in layers.items():
            setattr(module, name, layer)

    return change


OTHERS = {
    "first position": forward_of(lambda self, x: self.scores(self.lstm(self.table(x))[0][:, 0])),
    "tanh": forward_of(lambda self, x: self.scores(self.lstm(self.table(x).tanh())[0][:, -1])),
    "mean": forward_of(lambda self, x: self.scores(self.lstm(self.table(x))[0].mean(1))),
    "dropout": forward_of(
        lambda self, x: nn.functional.dropout(Reader.forward(self, x), 0.1, self.training)
    ),
    "training alone": forward_of(
        lambda self, x: Reader.forward(self, x) * (2 if self.training else 1)
    ),
    "padding": replaced(table=nn.Embedding(9, 5, padding_idx=0)),
    "longest": replaced(table=nn.Embedding(9, 5, max_norm=1)),
    "no bias": replaced(lstm=nn.LSTM(5, 33, 2, batch_first=True, bias=False)),
    "both ways": replaced(
        lstm=nn.LSTM(5, 33, 2, batch_first=True, bidirectional=True), scores=nn.Linear(66, 3)
    ),
    "projection": replaced(
        lstm=nn.LSTM(5, 33, 2, batch_first=True, proj_size=7), scores=nn.Linear(7, 3)
    ),
    "lstm's dropout": replaced(lstm=nn.LSTM(5, 33, 2, batch_first=True, dropout=0.1)),
    "unbiased scores": replaced(scores=nn.Linear(33, 3, bias=False)),
    "gru": replaced(lstm=nn.GRU(5, 33, 2, batch_first=True)),
    "one more layer": replaced(other=nn.Linear(2, 2)),
    "one more parameter": replaced(other=nn.Parameter(torch.zeros(2))),
    "frozen": lambda module: module.table.requires_grad_(False),
    "hook": lambda module: module.lstm.register_forward_hook(lambda *_: None),
    "double precision": lambda module: module.double(),
}


@pytest.mark.parametrize("change", OTHERS.values(), ids=OTHERS)
def test_another_network_is_left_to_the_reference(change):
    task = changed(change)
    assert recurrent(task) is None
    with pytest.raises(ConfigError, match="this model is another"):
        native(task, problem("classes")[1], sgd(1), 0)


def test_what_it_is_told_of_a_network():
    sizes = recurrent(task_of("classes"))
    assert (sizes.symbols, sizes.hidden, sizes.positions, sizes.every) == (9, 33, 7, False)
    assert sizes.products == 7 * 4 * 33 * (5 + 33 + 33 + 33) + 33 * 3
    task = task_of("one layer")
    assert recurrent(task).products == 9 * (4 * 32 * (8 + 32) + 32 * 11)
    x = Examples.trial(task.spec, 4).x
    params = [p.detach() for p in task.module.parameters()]
    torch.testing.assert_close(outputs_of(recurrent(task), params, x), task.module(x).detach())


def test_a_model_that_does_not_give_its_word_is_left_to_autograd():
    """Its answers cannot show that it lets no gradient through."""

    class Detached(Reader):
        LAYERS_ALONE = False

        def forward(self, x):
            read, _ = self.lstm(self.table(x).detach())
            return self.scores(read if self.every else read[:, -1])

    class Silent(Reader):
        pass

    spec = Spec((6,), 5, "tokens", vocabulary=5)
    for kind, known in ((Reader, True), (Detached, False), (Silent, False)):
        assert bool(recurrent(Task(kind(5, 3, 4, 1, 5, True), spec))) == known
