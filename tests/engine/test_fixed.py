"""The GPU's way on the CPU: powers of two of places, tables with a counter, steps replayed.

A `Tape` stands in for a CUDA graph. It keeps the operations of one call with the tensors that they
worked on, and repeats just these on just these tensors; so a step that would do something else the
next time, or looks at a number, is found out here.
"""

from contextlib import contextmanager, nullcontext
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from fedrun.core.dataset import Spec
from fedrun.core.option import RunError
from fedrun.core.plan import ChunkPlan, ClientPlan
from fedrun.core.task import Examples, Task
from fedrun.engine import _stack_size, _tables, stack
from fedrun.engine._fixed import Fixed, Pool
from fedrun.engine._gathered import gathered
from fedrun.engine._lifted_gradient import lifted_gradient
from fedrun.engine._objective import Terms
from fedrun.engine._replay import WARM_UP, Called, Captured
from fedrun.engine._stacked_network import stacked_network
from fedrun.local.adam import adam
from fedrun.local.sgd import sgd

LOOKS = {"_local_scalar_dense", "nonzero", "equal", "is_nonzero", "masked_select"}


class Tape(TorchDispatchMode):
    """Every operation with its arguments and results."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function.overloadpacket.__name__
        assert name not in LOOKS, f"{name} waits for the device"
        result = function(*args, **(kwargs or {}))
        self.calls.append((function, args, kwargs or {}, result))
        return result

    @torch.no_grad()
    def play(self):
        for function, args, kwargs, result in self.calls:
            again = function(*args, **kwargs)
            for old, new in zip(tree_leaves(result), tree_leaves(again), strict=True):
                if isinstance(old, torch.Tensor) and old.data_ptr() != new.data_ptr():
                    old.detach().copy_(new)


class Graph:
    """What stands in for `torch.cuda.CUDAGraph`."""

    def replay(self):
        self.tape.play()


@contextmanager
def recording(graph, pool):
    """For `torch.cuda.graph`; unlike a capture it runs the step, but before any data are in."""
    with Tape() as graph.tape:
        yield


@pytest.fixture(autouse=True)
def tapes_for_graphs(monkeypatch):
    monkeypatch.setattr(torch.cuda, "graph_pool_handle", lambda: None)
    monkeypatch.setattr(torch.cuda, "Stream", Mock)
    monkeypatch.setattr(torch.cuda, "current_stream", Mock)
    monkeypatch.setattr(torch.cuda, "stream", nullcontext)
    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    monkeypatch.setattr(torch.cuda, "graph", recording)


def chain():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 40), nn.ReLU(), nn.Linear(40, 3))


def convolutions():
    return nn.Sequential(nn.Conv2d(1, 3, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
                         nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3))  # fmt: skip


def other():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 5), nn.Tanh(), nn.Linear(5, 3))


MODELS = [chain, convolutions, other]
LOCALS = {
    "plain": sgd(1),
    "decay": sgd(1, weight_decay=0.1),
    "momentum": sgd(1, momentum=0.9),
    "momentum and decay": sgd(1, momentum=0.9, weight_decay=0.1),
    "clip": sgd(1, clip_norm=0.1),
    "clip, momentum and decay": sgd(1, clip_norm=0.1, momentum=0.9, weight_decay=0.1),
    "adam": adam(1),
}
SIZES = [(12, 3, 30, 7, 7), (5, 21, 9, 1), (30, 30, 2, 5, 12)]  # examples of each client of a round


@pytest.fixture(autouse=True)
def no_gradients():
    with torch.no_grad():
        yield


def make_task(make):
    torch.manual_seed(0)
    return Task(make().double(), Spec((1, 8, 8), 3, "classes"))


def make_examples():
    draw = torch.Generator().manual_seed(1)
    x = torch.randn(40, 1, 8, 8, generator=draw, dtype=torch.float64)
    return Examples(x, torch.randint(3, (40,), generator=draw))


def make_plan(sizes, batch=5):
    draw = np.random.default_rng(2)
    plans = []
    for client, size in enumerate(sizes):
        bounds = np.append(np.arange(0, size, batch), size)
        plans.append(ClientPlan(client, draw.permutation(40)[:size], bounds))
    return ChunkPlan.of(1, plans)


def random_stack(task, clients, seed, scale=0.1):
    draw = torch.Generator().manual_seed(seed)
    return [
        scale * torch.randn(clients, *p.shape, generator=draw, dtype=p.dtype)
        for p in task.module.parameters()
    ]


def make_terms(task, clients, drift, anchor, seed):
    return Terms(
        random_stack(task, clients, seed) if drift else None,
        random_stack(task, clients, seed + 1) if anchor else None,
        0.3,
    )


def make_fixed(task, local, replay, terms, capacity=5, width=5):
    model = stacked_network(task) or lifted_gradient(task)
    return Fixed(task, make_examples(), local, model, replay, capacity, width, terms)


def assert_same_as_exact(make, local, replay, drift=False, anchor=False):
    task, examples = make_task(make), make_examples()
    model = stacked_network(task) or lifted_gradient(task)
    fixed = None
    for number, sizes in enumerate(SIZES):  # rounds, each with another learning rate
        clients, lr = len(sizes), 0.1 / (number + 1)
        start = random_stack(task, clients, 10 + number, 0.3)
        terms = make_terms(task, clients, drift, anchor, 20 + number)
        plan = make_plan(sizes)
        fixed = fixed or make_fixed(task, local, replay, terms)
        params, sums = fixed.train(plan, start, terms, lr)
        expected, expected_sums = gathered(task, examples, local, model, plan, start, terms, lr)
        for found, leaf, first in zip(params, expected, start, strict=True):
            assert (leaf != first).any()
            torch.testing.assert_close(found, leaf, rtol=1e-9, atol=1e-11)
        torch.testing.assert_close(sums, expected_sums, rtol=1e-12, atol=1e-12)
        assert sums[:, 2].tolist() == list(sizes)


@pytest.mark.parametrize("replay", [Called, Captured])
@pytest.mark.parametrize("make", MODELS)
@pytest.mark.parametrize("local", LOCALS.values(), ids=LOCALS)
def test_powers_of_two_train_as_exact_prefixes(make, local, replay):
    assert_same_as_exact(make, local, replay())


@pytest.mark.parametrize(("drift", "anchor"), [(True, False), (False, True), (True, True)])
@pytest.mark.parametrize("local", LOCALS.values(), ids=LOCALS)
def test_every_term(local, drift, anchor):
    assert_same_as_exact(chain, local, Captured(), drift, anchor)


@pytest.mark.parametrize("make", MODELS)
def test_a_replay_gives_the_bits_of_a_call(make):
    task, plan = make_task(make), make_plan(SIZES[0])
    start, terms = random_stack(task, 5, 3), make_terms(task, 5, True, True, 4)
    runs = [
        make_fixed(task, sgd(1), replay, terms).train(plan, start, terms, 0.1)
        for replay in (Called(), Captured())
    ]
    assert all(torch.equal(a, b) for a, b in zip(runs[0][0], runs[1][0], strict=True))
    assert torch.equal(runs[0][1], runs[1][1])


def test_tables_that_hold_few_steps_are_filled_again(monkeypatch):
    monkeypatch.setattr(_tables, "STEPS", 2)
    assert_same_as_exact(chain, sgd(1), Captured())
    task, terms = make_task(chain), Terms(None, None, 0.0)
    assert make_fixed(task, sgd(1), Called(), terms).tables.places == 10
    monkeypatch.setattr(_tables, "BYTES", 5 * 5 * 3 * 8)  # one step's outputs
    assert make_fixed(task, sgd(1), Called(), terms).tables.places == 5


def test_clients_whose_numbers_blow_up_do_not_touch_others():
    task, terms = make_task(chain), Terms(None, None, 0.0)
    plan = make_plan(SIZES[0])
    start = random_stack(task, 5, 3)
    clean, _ = make_fixed(task, sgd(1), Called(), terms).train(plan, start, terms, 0.1)
    for leaf in start:
        leaf[[1, 3]] = torch.inf
    fixed = make_fixed(task, sgd(1), Called(), terms)
    for leaf in fixed.params:
        leaf.fill_(torch.nan)  # what an earlier chunk may have left
    for _ in range(2):
        mixed, _ = fixed.train(plan, start, terms, 0.1)
        for leaf, expected in zip(mixed, clean, strict=True):
            assert torch.equal(leaf[[0, 2, 4]], expected[[0, 2, 4]])
            assert not leaf[[1, 3]].isfinite().any()


def test_a_client_is_taken_out_when_it_is_done():
    # Outputs near the largest float: one more step, even of weight 0, would make NaN of them.
    task, terms = make_task(chain), Terms(None, None, 0.0)
    start = random_stack(task, 5, 3)
    for leaf in start:
        leaf[1] = 1e160
    params, _ = make_fixed(task, sgd(1), Called(), terms).train(
        make_plan(SIZES[0]), start, terms, 0.0
    )
    expected, _ = gathered(
        task, make_examples(), sgd(1), stacked_network(task), make_plan(SIZES[0]), start, terms, 0.0
    )
    for leaf, other_leaf in zip(params, expected, strict=True):
        torch.testing.assert_close(leaf, other_leaf, equal_nan=True)


def test_chunks_of_a_kind_share_their_tensors():
    made = []

    def make(capacity, width, terms):
        fixed = make_fixed(make_task(chain), sgd(1), Called(), terms, capacity, width)
        made.append((capacity, width))
        return fixed

    pool = Pool(make, batch_size=5)
    none, pulled = Terms(None, None, 0.0), make_terms(make_task(chain), 5, False, True, 1)
    five, four, short = make_plan(SIZES[0]), make_plan(SIZES[1]), make_plan((3, 1))
    first = pool.fitting(five, none)
    assert pool.fitting(four, none) is first
    assert pool.fitting(five, pulled) is not first
    assert pool.fitting(short, none) is not first
    assert made == [(5, 5), (5, 5), (2, 4)]
    assert pool.fitting(make_plan((9,) * 6), none).capacity == 6
    assert Pool(make, batch_size=0).fitting(make_plan((13, 2), batch=100), none).width == 16


def test_the_recorder_finds_what_a_graph_could_not_repeat():
    number = torch.ones(3)
    with pytest.raises(AssertionError, match="waits for the device"), Tape():
        number.sum().item()


def test_what_cannot_be_captured_is_told_in_a_sentence(monkeypatch):
    @contextmanager
    def failing(graph, pool):
        raise RuntimeError("operation not permitted when stream is capturing\nmore")
        yield

    monkeypatch.setattr(torch.cuda, "graph", failing)
    with pytest.raises(RunError, match=r"\(operation not permitted .* capturing\); take engine=e"):
        Captured().prepare(1, lambda: None, lambda: None)


def test_warm_up_starts_from_the_beginning_each_time():
    log = []
    captured = Captured()
    captured.prepare(1, lambda: log.append("step"), lambda: log.append("rewind"))
    assert log == ["rewind", "step"] * (WARM_UP + 1)
    captured.prepare(1, lambda: log.append("again"), lambda: None)
    assert "again" not in log


@torch.enable_grad()
@pytest.mark.parametrize("algorithm", ["fedavg", "fedprox", "scaffold"])
def test_whole_rounds(algorithm, monkeypatch, federation, play):
    options = [f"algorithm={algorithm}", "model.hidden=[16]", "rounds=3", "clients.per_round=3"]
    expected = play(federation(*options, "engine=eager"))
    for module in (_stack_size, stack):
        monkeypatch.setattr(module, "on_gpu", lambda task: True)
    experiment = federation(*options, "engine=stack")
    assert experiment.engine.how == "lockstep, written out, in CUDA graphs"
    assert experiment.federation.chunk_size == 3
    found = play(experiment)
    for one, other_one in zip(found, expected, strict=True):
        assert one.metrics["train/loss"] == pytest.approx(other_one.metrics["train/loss"], rel=1e-5)
        for name, leaf in other_one.state.server["model"].items():
            torch.testing.assert_close(one.state.server["model"][name], leaf, rtol=1e-4, atol=1e-6)


def test_the_size_of_a_stack_on_a_gpu(monkeypatch):
    monkeypatch.setattr(_stack_size, "on_gpu", lambda task: True)
    task = make_task(chain)
    assert [_stack_size.stack_size(task, sgd(1), cohort) for cohort in (3, 1000)] == [3, 256]
    monkeypatch.setattr(_stack_size, "ROOM", 2 * _stack_size.client_bytes(task, sgd(1)))
    assert _stack_size.stack_size(task, sgd(1), 1000) == 2
    monkeypatch.setattr(_stack_size, "ROOM", 1)
    assert _stack_size.stack_size(task, sgd(1), 1000) == 1
