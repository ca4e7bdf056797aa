"""The written-out pass against the reference, which trains with autograd."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from fedrun.core.dataset import Spec
from fedrun.core.plan import ClientPlan
from fedrun.core.task import Examples, Task
from fedrun.engine import _onednn
from fedrun.engine._network import written_network
from fedrun.engine._objective import Terms
from fedrun.engine.eager import train
from fedrun.local.adam import adam
from fedrun.local.sgd import sgd

LR = 0.05
GREY, COLOUR = (1, 12, 12), (3, 12, 12)


def paper():
    return [nn.Conv2d(1, 4, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(4, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(54, 16), nn.ReLU(), nn.Linear(16, 3)]  # fmt: skip


def no_bias():
    return [nn.Conv2d(3, 4, 3, bias=False), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
            nn.Linear(100, 8, bias=False), nn.ReLU(), nn.Linear(8, 3, bias=False)]  # fmt: skip


def grouped():
    return [nn.Conv2d(3, 6, 3, stride=2, padding=1, groups=3), nn.ReLU(),
            nn.Conv2d(6, 4, (3, 1), padding="same", dilation=2), nn.Flatten(),
            nn.Linear(144, 3)]  # fmt: skip


def pools():
    """Overlapping, padded, ceiled; ReLU and pooling first; two in a row."""
    return [nn.ReLU(), nn.MaxPool2d(3, 2, 1), nn.Conv2d(3, 4, 3, padding="valid"), nn.ReLU(),
            nn.ReLU(), nn.MaxPool2d(3, stride=1), nn.MaxPool2d(2, 1, ceil_mode=True),
            nn.Flatten(), nn.ReLU(), nn.Linear(4, 3)]  # fmt: skip


def vectors():
    return [nn.Flatten(), nn.Linear(144, 40), nn.ReLU(), nn.Linear(40, 3)]


def wide():
    """A linear layer large enough for oneDNN."""
    return [nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
            nn.Linear(576, 64), nn.ReLU(), nn.Linear(64, 3)]  # fmt: skip


NETWORKS = [(paper, GREY), (no_bias, COLOUR), (grouped, COLOUR), (pools, COLOUR), (vectors, GREY),
            (wide, GREY)]  # fmt: skip


def make_task(layers, shape, kind="classes", outputs=3):
    module = nn.Sequential(*layers)
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in module.parameters():
            bound = (p[0].numel() if p.ndim > 1 else 10) ** -0.5
            p.uniform_(-bound, bound, generator=draw)
    return Task(module, Spec(shape, outputs, kind))


def make_examples(task, count=40):
    return Examples.trial(task.spec, count)


def make_rows(sizes, count=40):
    draw = np.random.default_rng(2)
    rows = np.concatenate([draw.permutation(count)[:size] for size in sizes])
    return rows, np.cumsum([0, *sizes])


def random_like(task, seed, scale=0.1):
    draw = torch.Generator().manual_seed(seed)
    return [scale * torch.randn(p.shape, generator=draw) for p in task.parameters.values()]


def as_double(task, examples, terms):
    def wide(tensors):
        return [tensor.double() for tensor in tensors]

    y = examples.y.double() if examples.y.is_floating_point() else examples.y
    module = copy.deepcopy(task.module).double()
    return Task(module, task.spec), Examples(examples.x.double(), y), terms.map(wide)


def by_autograd(task, examples, plan, local, terms):
    """The parameters after training, and the sums."""
    task = Task(copy.deepcopy(task.module), task.spec)
    sums = train(task, task.module, examples, local, plan, terms, LR, images_last=False)
    return [p.detach() for p in task.parameters.values()], sums


def by_hand(task, examples, plan, local, terms):
    params = [p.detach().clone() for p in task.parameters.values()]
    rows = torch.from_numpy(plan.rows)
    run = written_network(task)
    assert run is not None
    sums = run(params, examples, rows, plan.bounds.tolist(), local, terms, LR)
    return params, sums


def flat(tensors):
    return torch.cat([tensor.double().flatten() for tensor in tensors])


def assert_same(task, local=None, terms=None, sizes=(8, 8, 3, 1, 8), tolerance=1e-5):
    """To `tolerance` of the update; and about as near to float64 as autograd. (With channels
    innermost oneDNN adds up the gradient of a convolution in one long sum, which rounds more.)"""
    local, terms = local or sgd(1, lr=LR), terms or Terms(None, None, 0.0)
    examples = make_examples(task)
    rows, bounds = make_rows(sizes)
    plan = ClientPlan(0, rows, bounds)
    start = flat([p.detach() for p in task.parameters.values()])
    reference, sums = by_autograd(task, examples, plan, local, terms)
    params, own_sums = by_hand(task, examples, plan, local, terms)
    double, examples_double, terms_double = as_double(task, examples, terms)
    exact, _ = by_autograd(double, examples_double, plan, local, terms_double)
    length = (flat(exact) - start).norm()
    assert length > 1e-3
    assert (flat(params) - flat(reference)).norm() <= tolerance * length
    bound = max(5 * (flat(reference) - flat(exact)).norm(), 5e-6 * length)
    assert (flat(params) - flat(exact)).norm() <= bound
    torch.testing.assert_close(own_sums, sums, rtol=1e-5, atol=1e-6)
    assert own_sums[2] == sum(sizes)


@pytest.mark.parametrize(("layers", "shape"), NETWORKS)
@pytest.mark.parametrize("sizes", [(8, 8, 3), (1, 1), (5,), (40,)])
def test_trains_as_autograd_does(layers, shape, sizes):
    assert_same(make_task(layers(), shape), sizes=sizes)


@pytest.mark.parametrize(("kind", "outputs"), [("classes", 3), ("binary", 1), ("number", 2)])
def test_every_loss(kind, outputs):
    layers = [*paper()[:-1], nn.Linear(16, outputs)]
    assert_same(make_task(layers, GREY, kind, outputs))


LOCALS = {
    "decay": sgd(1, weight_decay=0.1),
    "momentum": sgd(1, momentum=0.9),
    "momentum and decay": sgd(1, momentum=0.5, weight_decay=0.1),
    "clip": sgd(1, clip_norm=0.1),
    "clip, momentum and decay": sgd(1, clip_norm=0.1, momentum=0.9, weight_decay=0.1),
    "plain": sgd(1),
}


@pytest.mark.parametrize("local", LOCALS.values(), ids=LOCALS)
@pytest.mark.parametrize("mu", [0.0, 0.7])
@pytest.mark.parametrize(("drifts", "anchored"), [(True, False), (False, True), (True, True)])
def test_every_term_and_optimiser(local, mu, drifts, anchored):
    task = make_task(paper(), GREY)
    terms = Terms(
        random_like(task, 3) if drifts else None, random_like(task, 4) if anchored else None, mu
    )
    before = terms.map(lambda tensors: [tensor.clone() for tensor in tensors])
    assert_same(task, local, terms)
    for one, other in [(terms.drift, before.drift), (terms.anchor, before.anchor)]:
        assert one is None or torch.equal(flat(one), flat(other))


def test_adam():
    # its first steps are the signs of the gradient, whose smallest numbers are rounding alone
    assert_same(make_task(paper(), GREY), adam(1), tolerance=1e-3)


def test_float64_is_exact():
    task, examples, terms = as_double(
        make_task(paper(), GREY), make_examples(make_task(paper(), GREY)), Terms(None, None, 0.0)
    )
    rows, bounds = make_rows((8, 8, 3))
    plan = ClientPlan(0, rows, bounds)
    reference, _ = by_autograd(task, examples, plan, sgd(1), terms)
    params, _ = by_hand(task, examples, plan, sgd(1), terms)
    torch.testing.assert_close(flat(params), flat(reference), rtol=0, atol=1e-14)


def test_the_examples_and_the_model_stay_as_they_are():
    task = make_task(pools(), COLOUR)  # its first layer is a ReLU
    examples = make_examples(task)
    x, weights = examples.x.clone(), flat([p.detach() for p in task.parameters.values()])
    rows, bounds = make_rows((8, 8))
    by_hand(task, examples, ClientPlan(0, rows, bounds), sgd(1), Terms(None, None, 0.0))
    assert torch.equal(examples.x, x)
    assert torch.equal(flat([p.detach() for p in task.parameters.values()]), weights)


def test_one_description_serves_many_clients():
    task, examples = make_task(paper(), GREY), make_examples(make_task(paper(), GREY))
    run = written_network(task)
    rows, bounds = make_rows((8, 8))
    results = []
    for _ in range(2):
        params = [p.detach().clone() for p in task.parameters.values()]
        run(params, examples, torch.from_numpy(rows), bounds.tolist(), sgd(1, momentum=0.9),
            Terms(None, None, 0.0), LR)  # fmt: skip
        results.append(flat(params))
    assert torch.equal(*results)


def test_what_comes_back_can_be_used_with_autograd():
    task, examples = make_task(paper(), GREY), make_examples(make_task(paper(), GREY))
    rows, bounds = make_rows((8, 8))
    plan = ClientPlan(0, rows, bounds)
    params, sums = by_hand(task, examples, plan, sgd(1), Terms(None, None, 0.0))
    scale = torch.ones((), requires_grad=True)
    (scale * flat(params).sum() + scale * sums.sum()).backward()
    assert scale.grad is not None


def test_with_and_without_onednn(monkeypatch):
    for answer in (True, False):
        if answer and not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
            continue
        monkeypatch.setattr(_onednn, "blas_is_slower", lambda answer=answer: answer)
        assert_same(make_task(wide(), GREY))


def test_a_number_that_is_not_finite_comes_through():
    task = make_task(paper(), GREY)
    examples = make_examples(task)
    examples.x[0] = float("nan")
    rows, bounds = np.arange(8), np.array([0, 8])
    plan = ClientPlan(0, rows, bounds)
    params, _ = by_hand(task, examples, plan, sgd(1), Terms(None, None, 0.0))
    assert not torch.isfinite(flat(params)).all()


class OwnConvolution(nn.Conv2d):
    pass


def with_(layers, change):
    change(layers)
    return layers


def shared():
    layer = nn.Linear(144, 144)
    return [nn.Flatten(), layer, nn.ReLU(), layer, nn.Linear(144, 3)]


def tied():
    layers = [nn.Flatten(), nn.Linear(144, 144), nn.Linear(144, 144), nn.Linear(144, 3)]
    layers[2].weight = layers[1].weight
    return layers


REFUSED = {
    "subclass": lambda: [OwnConvolution(1, 4, 5, padding=2), *paper()[1:]],
    "other layer": lambda: [*paper()[:1], nn.Tanh(), *paper()[2:]],
    "dropout": lambda: [*paper()[:-1], nn.Dropout(0.5), nn.Linear(16, 3)],
    "reflected": lambda: [
        nn.Conv2d(1, 4, 5, padding=2, padding_mode="reflect"), *paper()[1:]
    ],
    "uneven": lambda: [nn.Conv2d(1, 4, 4, padding="same"), *paper()[1:]],
    "frozen": lambda: with_(paper(), lambda ls: ls[0].weight.requires_grad_(False)),
    "hook": lambda: with_(paper(), lambda ls: ls[0].register_forward_hook(lambda *_: None)),
    "backward hook": lambda: with_(
        paper(), lambda ls: ls[1].register_full_backward_hook(lambda *_: None)
    ),
    "gradient hook": lambda: with_(
        paper(), lambda ls: ls[0].weight.register_hook(lambda g: 2 * g)
    ),
    "own forward": lambda: with_(paper(), lambda ls: setattr(ls[1], "forward", torch.tanh)),
    "parametrised": lambda: with_(
        paper(), lambda ls: nn.utils.parametrizations.weight_norm(ls[0])
    ),
    "shared layer": shared,
    "tied weights": tied,
    "partial flatten": lambda: [nn.Flatten(2), nn.Flatten(1), nn.Linear(144, 3)],
    "mixed types": lambda: with_(vectors(), lambda ls: ls[1].double()),
    "images to linear": lambda: [nn.Linear(12, 12), nn.Flatten(), nn.Linear(144, 3)],
    "nothing to train": lambda: [nn.Flatten()],
}  # fmt: skip


@pytest.mark.parametrize("layers", REFUSED.values(), ids=REFUSED)
def test_anything_else_is_refused(layers):
    assert written_network(Task(nn.Sequential(*layers()), Spec(GREY, 3, "classes"))) is None


def test_other_modules_and_losses_are_refused():
    spec = Spec(GREY, 3, "classes")
    assert written_network(Task(nn.Linear(5, 3), spec)) is None
    assert written_network(Task(nn.Sequential(nn.Sequential(*paper())), spec)) is None
    tokens = Spec((5,), 3, "tokens", vocabulary=3)
    assert written_network(Task(nn.Sequential(nn.Linear(5, 3)), tokens)) is None


def test_the_processor_decides_and_not_the_clock(monkeypatch):
    large, small = torch.empty(512, 512), torch.empty(10, 10)
    monkeypatch.setattr(_onednn, "blas_is_slower", lambda: True)
    assert _onednn.suits_onednn(large)
    assert not _onednn.suits_onednn(small)
    assert not _onednn.suits_onednn(large.double())
    monkeypatch.setattr(_onednn, "blas_is_slower", lambda: False)
    assert not _onednn.suits_onednn(large)
