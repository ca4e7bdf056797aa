"""Local steps that hide each example: what they sum, what they add, and what they refuse."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.func import functional_call

from fedrun.core.dataset import Spec
from fedrun.core.option import ConfigError
from fedrun.core.partition import Ragged
from fedrun.core.plan import ChunkPlan
from fedrun.core.poisson_plan import poisson_plan
from fedrun.core.privacy import PrivateSteps
from fedrun.core.task import Examples, Task
from fedrun.core.tree import expand
from fedrun.engine._captured import captured
from fedrun.engine._ghost import ghost
from fedrun.engine._noise import MARGIN, Noise
from fedrun.engine._per_example import lifted, one_by_one
from fedrun.engine._private import private, private_how, way_of
from fedrun.engine.eager import eager
from fedrun.local.adam import adam
from fedrun.local.sgd import sgd
from fedrun.model.char_lstm import char_lstm
from fedrun.model.cnn import cnn
from fedrun.model.logistic import logistic
from fedrun.model.mlp import mlp
from fedrun.privacy._stream import streams

SECRET = streams("seeded", 7)


def conv_with_group_norm(spec):
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.GroupNorm(2, 4), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(4 * 9, spec.outputs),
    )  # fmt: skip


def task_of(name, dtype=torch.float64):
    spec = Spec(kind="classes", input_shape=(1, 6, 6), outputs=3)
    module = {
        "logistic": lambda: logistic(spec),
        "mlp": lambda: mlp(spec, hidden=[5, 4]),
        "group_norm": lambda: conv_with_group_norm(spec),
        "cnn": lambda: cnn(spec, channels=[2, 3], units=5),
    }
    if name == "lstm":
        spec = Spec(kind="classes", input_shape=(4,), outputs=3, vocabulary=5)
        module["lstm"] = lambda: char_lstm(spec, embedding=2, hidden=3, layers=1)
    with torch.random.fork_rng(devices=[]):
        torch.random.default_generator.manual_seed(1)
        made = module[name]().to(dtype)
    return Task(made, spec)


def examples_of(task, size, seed=0):
    draw = torch.Generator().manual_seed(seed)
    dtype = next(task.module.parameters()).dtype
    shape = (size, *task.spec.input_shape)
    if task.spec.vocabulary:
        x = torch.randint(task.spec.vocabulary, shape, generator=draw)
    else:
        x = torch.randn(shape, generator=draw, dtype=dtype)
    return Examples(x, torch.randint(task.spec.outputs, (size,), generator=draw))


def params_of(task):
    return {name: p.detach().clone() for name, p in task.parameters.items()}


def zeros(task):
    return {name: torch.zeros_like(p, dtype=torch.float64) for name, p in params_of(task).items()}


def plain_loop(task, params, examples, clip_norm, only=None):
    """The definition, example by example."""
    names = [name for name in params if only is None or name in only]
    total = {name: torch.zeros_like(params[name], dtype=torch.float64) for name in names}
    for x, y in zip(examples.x, examples.y, strict=True):
        leaves = {name: p.clone().requires_grad_() for name, p in params.items()}
        outputs = functional_call(task.module, leaves, (x[None],))
        loss = nn.functional.cross_entropy(outputs, y[None])
        grads = torch.autograd.grad(loss, [leaves[name] for name in names])
        norm = torch.cat([g.double().flatten() for g in grads]).norm()
        for name, grad in zip(names, grads, strict=True):
            total[name] += grad.double() * min(1.0, clip_norm / max(float(norm), 1e-300))
    return total


def long(tensors):
    return torch.cat([t.flatten() for t in tensors.values()])


MODELS = ["logistic", "mlp", "group_norm", "cnn", "lstm"]


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("clip_norm", [0.3, 1e6])
def test_the_sum_is_that_of_a_plain_loop(name, clip_norm):
    task = task_of(name)
    examples, params, sums = examples_of(task, 7), params_of(task), zeros(task)
    outputs = way_of(task).sum(params, examples.x, examples.y, clip_norm, sums)
    for leaf, wanted in plain_loop(task, params, examples, clip_norm).items():
        torch.testing.assert_close(sums[leaf], wanted, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(outputs, task.module(examples.x))


def test_each_model_goes_its_fastest_way():
    found = {name: way_of(task_of(name)).name for name in MODELS}
    assert found["logistic"] == found["mlp"] == "ghost"
    assert found["lstm"] == "one by one"
    assert found["group_norm"] == found["cnn"] == "layer by layer"


def test_the_way_is_told(monkeypatch):
    def how(task):
        return private_how(task, examples_of(task, 1), sgd(1))

    task = task_of("mlp", torch.float32)
    assert how(task) in ("private: ghost, compiled", "private: ghost, PyTorch's noise")
    monkeypatch.setattr("fedrun.engine._private.private_kernel", lambda: None)
    assert how(task) == "private: ghost, PyTorch's noise"
    assert how(task_of("lstm")) == "private: one by one, PyTorch's noise"


@pytest.mark.parametrize("only", [None, ["3.weight"], ["1.bias", "5.weight"]])
@pytest.mark.parametrize("compiled", [True, False])
def test_ghost_and_lifted_agree_in_float32(only, compiled, monkeypatch):
    if not compiled:
        monkeypatch.setattr("fedrun.engine._ghost.private_kernel", lambda: None)
    task = task_of("mlp", torch.float32)
    examples, params = examples_of(task, 70), params_of(task)
    found = []
    for way in (ghost(task), lifted(task), one_by_one(task)):
        sums = {n: s for n, s in zeros(task).items() if only is None or n in only}
        way.sum(params, examples.x.clone(), examples.y, 0.5, sums)
        found.append(long(sums))
    for other in (found[1], found[2], long(plain_loop(task, params, examples, 0.5, only))):
        torch.testing.assert_close(found[0], other, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", ["mlp", "group_norm", "cnn"])
@pytest.mark.parametrize("place", [0, 1, 2, -1])
def test_layer_by_layer_and_lifted_agree_where_only_some_are_trained(name, place):
    task = task_of(name)
    examples, params = examples_of(task, 9), params_of(task)
    only = list(params)[place]
    found = []
    for way in (captured(task), lifted(task)):
        sums = {only: zeros(task)[only]}
        way.sum(params, examples.x, examples.y, 0.2, sums)
        found.append(sums[only])
    torch.testing.assert_close(*found, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", ["mlp", "group_norm", "lstm"])
def test_m11_what_is_not_finite_counts_as_nothing(name):
    for dtype in (torch.float32, torch.float64):
        task = task_of(name, dtype)
        examples, params = examples_of(task, 5), params_of(task)
        bad = {n: p.clone() for n, p in params.items()}
        if name == "lstm":  # a token whose vector is not finite
            examples.x[:2] = 4
            examples.x[2:] = torch.arange(12).view(3, 4) % 4
            bad["embedding.weight"][4] = float("inf")
        else:
            examples.x[0, 0, 0, 0] = float("inf")
            examples.x[1, 0, 2, 2] = float("nan")
        sums = zeros(task)
        way_of(task).sum(bad, examples.x, examples.y, 0.5, sums)
        good = plain_loop(task, bad, Examples(examples.x[2:], examples.y[2:]), 0.5)
        torch.testing.assert_close(long(sums), long(good), rtol=1e-4, atol=1e-6)


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from(["logistic", "mlp", "group_norm"]),
    st.floats(1e-3, 1e3),
    st.floats(1e-20, 1e30),
    st.integers(0, 3),
)
def test_m05_one_more_example_moves_the_sum_by_no_more_than_the_clip(name, clip, size, seed):
    task = task_of(name, torch.float32)
    examples, params = examples_of(task, 6, seed), params_of(task)
    examples.x[5] *= size
    sums = []
    for count in (5, 6):
        total = zeros(task)
        way_of(task).sum(params, examples.x[:count], examples.y[:count], clip, total)
        noise = Noise.of(PrivateSteps(clip_norm=clip, noise_multiplier=1, streams=SECRET),
                         long(total))  # fmt: skip
        sums.append((long(total) * noise.scale).round() / noise.scale)
    assert float((sums[1] - sums[0]).norm()) <= clip * (1 + 2.0**-10)


HELD = Ragged.of([np.arange(12), np.arange(12, 15), np.arange(15, 40)])


def federated(task, local, noise_multiplier=0.0, clip_norm=1e6, secret=SECRET, seed=0, **given):
    examples = given.pop("examples", None) or examples_of(task, 40, seed)
    steps = PrivateSteps(clip_norm=clip_norm, noise_multiplier=noise_multiplier, streams=secret)
    numbers = np.arange(3)
    plan = poisson_plan(HELD, local.work, secret, 1, numbers, turn=given.pop("turn", 0))
    start = expand(task.current(), 3)
    return private(task, examples, local)(steps)(plan)(start, **given), plan, start, examples


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(
    "local",
    [
        sgd(1, lr=0.5, batch_size=0, epochs=2),
        sgd(1, batch_size=0, epochs=3, momentum=0.9, weight_decay=0.1),
        adam(1, batch_size=0, epochs=2),
    ],
)
def test_without_noise_and_clip_whole_batches_are_the_eager_engine(name, local):
    task = task_of(name)
    terms = {"drift": 0.01 * (expand(task.current(), 3) + 1), "mu": 0.3}
    terms["anchor"] = 0.5 * expand(task.current(), 3)
    found, plan, start, examples = federated(task, local, **terms)
    order = ChunkPlan(1, plan.client, plan.first, plan.begin, plan.end, plan.rows)
    wanted = eager(task, examples, local, 0).solver(order)(start, **terms)
    for leaf, tensor in wanted.params.items():
        torch.testing.assert_close(found.params[leaf], tensor, rtol=1e-8, atol=1e-9)
    assert torch.equal(found.steps, wanted.steps)
    torch.testing.assert_close(found.sums, wanted.sums)


def test_only_some_parameters_are_trained_noised_and_counted_in_the_norm():
    task = task_of("mlp")
    head = ["5.weight", "5.bias"]
    found, _, start, _ = federated(task, sgd(1), 1.0, 1.0, only=head)
    for name, leaf in start.items():
        assert torch.equal(found.params[name], leaf) == (name not in head)
    assert list(found.params) == list(start)


def gradients_released(task, noise_multiplier, clip_norm, batch_size=4, steps=1, **given):
    """What plain steps of rate 1 make of nothing: minus the sum of the released gradients."""
    local = sgd(1, lr=1.0, batch_size=batch_size, steps=steps)
    trained, _, start, _ = federated(task, local, noise_multiplier, clip_norm, **given)
    return [long({n: (start[n] - trained.params[n])[k] for n in start}) for k in range(3)]


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_m12_the_noise_is_added_once_and_as_wide_as_said(compiled, dtype, monkeypatch):
    if not compiled:
        monkeypatch.setattr("fedrun.engine._noise.private_kernel", lambda: None)
    spec = Spec(kind="number", input_shape=(50,), outputs=40)
    task = Task(logistic(spec, init=0.0).to(dtype), spec)  # targets 0: no gradient at all
    examples = Examples(torch.randn(40, 50, dtype=dtype), torch.zeros(40, 40, dtype=dtype))
    noise = gradients_released(task, 2.0, 0.5, examples=examples)
    for released, expected in zip(noise, [4, 3, 4], strict=True):
        std = 2.0 * 0.5 * MARGIN / expected
        assert float(released.std()) == pytest.approx(std, rel=0.06)
        assert abs(float(released.mean())) < 5 * std / len(released) ** 0.5
        assert float((released / std).double().pow(4).mean()) == pytest.approx(3, abs=0.7)


@pytest.mark.parametrize("compiled", [True, False])
def test_m12_the_noise_of_many_releases_is_within_three_percent(compiled, monkeypatch):
    if not compiled:
        monkeypatch.setattr("fedrun.engine._noise.private_kernel", lambda: None)
    steps = PrivateSteps(clip_norm=3.0, noise_multiplier=0.7, streams=SECRET)
    like = torch.zeros(25, dtype=torch.float64)
    noise, stream = Noise.of(steps, like), SECRET("noise", 1, 1)
    found = torch.stack([noise.added(torch.full_like(like, 2.0), stream, 10.0, like)
                         for _ in range(2000)])  # fmt: skip
    assert float(found.std()) == pytest.approx(0.21, rel=0.03)
    assert found.std(0).numpy() == pytest.approx(np.full(25, 0.21), rel=0.08)
    assert float(found.mean()) == pytest.approx(0.2, abs=0.005)
    correlation = np.corrcoef(found.numpy().T) - np.eye(25)
    assert abs(correlation).max() < 0.12
    after = np.corrcoef(found[:-1].flatten().numpy(), found[1:].flatten().numpy())[0, 1]
    assert abs(after) < 0.02


@pytest.mark.parametrize("compiled", [True, False])
def test_m14_what_is_released_lies_on_the_grid(compiled, monkeypatch):
    if not compiled:
        monkeypatch.setattr("fedrun.engine._noise.private_kernel", lambda: None)
    steps = PrivateSteps(clip_norm=1.0, noise_multiplier=1.0, streams=SECRET)
    total = torch.rand(1001, dtype=torch.float64)
    noise = Noise.of(steps, total)
    assert noise.scale == 2.0**15  # sqrt(1001) 2^10 = 32399
    released = noise.added(total, SECRET("noise", 1, 1), 1.0, total)
    whole = released * noise.scale
    assert torch.equal(whole, whole.round())
    assert 0.4 < float((whole % 2).mean()) < 0.6


def test_the_compiled_normals_are_those_of_the_uniforms():
    steps = PrivateSteps(clip_norm=1.0, noise_multiplier=1.0, streams=SECRET)
    total = torch.zeros(1001, dtype=torch.float64)
    noise = Noise.of(steps, total)
    if noise.kernel is None:
        pytest.skip("no compiler")
    released = noise.added(total.clone(), SECRET("noise", 1, 1), 1.0, total).numpy()
    u = SECRET("noise", 1, 1).uniform(1002)
    length, angle = np.sqrt(-2 * np.log(u[:501] + 2.0**-53)), 2 * np.pi * u[501:]
    wanted = np.concatenate([length * np.cos(angle), length * np.sin(angle)])[:1001]
    assert abs(released / MARGIN - wanted).max() <= 0.51 / noise.scale


def test_m13_clients_turns_rounds_and_steps_have_noise_of_their_own():
    spec = Spec(kind="number", input_shape=(9,), outputs=9)
    task = Task(logistic(spec, init=0.0).double(), spec)
    examples = Examples(torch.zeros(40, 9).double(), torch.zeros(40, 9).double())
    seen = []
    for other in ({}, {"turn": 1}, {"secret": streams("seeded", 8)}):
        seen += gradients_released(task, 1.0, 1.0, examples=examples, **other)
    two = gradients_released(task, 1.0, 1.0, examples=examples, steps=2)
    seen += [both - one for both, one in zip(two, seen[:3], strict=True)]
    correlation = np.corrcoef(np.stack([s.numpy() for s in seen])) - np.eye(len(seen))
    assert abs(correlation).max() < 0.5


def test_m22_an_empty_batch_is_a_step_that_is_noised():
    task = task_of("mlp")
    empty = np.zeros(2, np.int64)
    plan = ChunkPlan(1, np.array([0]), np.array([0, 2]), empty, empty, empty[:0],
                     expected=np.array([4.0]))  # fmt: skip
    local, start = sgd(1, lr=1.0), expand(task.current(), 1)
    for noise_multiplier in (0.0, 1.0):
        steps = PrivateSteps(clip_norm=1, noise_multiplier=noise_multiplier, streams=SECRET)
        trained = private(task, examples_of(task, 3), local)(steps)(plan)(start)
        moved = long(start) - long(trained.params)
        assert float(moved.std()) == pytest.approx(noise_multiplier * 2**0.5 / 4, rel=0.2)
        assert trained.steps.tolist() == [2]
        assert trained.sums.tolist() == [[0, 0, 0]]


def test_m04_the_denominator_does_not_tell_the_size_of_the_batch():
    task = task_of("logistic")
    start, local = expand(task.current(), 1), sgd(1, lr=1.0)
    examples = examples_of(task, 3)
    steps = PrivateSteps(clip_norm=1e-3, noise_multiplier=0.0, streams=SECRET)
    moved = []
    for size in (1, 2, 3):
        rows = np.zeros(size, np.int64)  # the same example over and over
        plan = ChunkPlan(1, np.array([0]), np.array([0, 1]), np.array([0]), np.array([size]), rows,
                         expected=np.array([2.0]))  # fmt: skip
        trained = private(task, examples, local)(steps)(plan)(start)
        moved.append(float((long(start) - long(trained.params)).norm()))
    assert moved == pytest.approx([0.5e-3, 1e-3, 1.5e-3])


@pytest.mark.parametrize(
    "local",
    [
        sgd(1, lr=1.0, batch_size=0, steps=1, momentum=0.9, weight_decay=0.5),
        sgd(1, lr=1.0, batch_size=0, steps=1, weight_decay=100.0),
    ],
)
def test_m24_decay_momentum_and_pull_see_nothing_but_the_clipped_sum(local):
    task = task_of("mlp")
    ends = []
    for size in (1.0, 1e6):  # one example, and then another in its place
        examples = examples_of(task, 40)
        examples.x[3] *= size
        terms = {"anchor": 2 * expand(task.current(), 3), "mu": 0.7}
        ends.append(federated(task, local, 0.0, 0.1, examples=examples, **terms)[0].params)
    first = float(
        (long(ends[0].map(lambda leaf: leaf[0])) - long(ends[1].map(lambda leaf: leaf[0]))).norm()
    )
    assert 0 < first <= 2 * 0.1 / 12  # client 0 holds 12 rows
    others = [long(end.map(lambda leaf: leaf[1:])) for end in ends]
    assert torch.equal(*others)


def test_training_repeats_itself_and_does_not_depend_on_other_clients():
    task = task_of("mlp", torch.float32)
    local = sgd(1, batch_size=4)
    first, second = (federated(task, local, 1.0, 1.0)[0].params for _ in range(2))
    assert torch.equal(long(first), long(second))
    examples, numbers = examples_of(task, 40), np.array([2])
    steps = PrivateSteps(clip_norm=1.0, noise_multiplier=1.0, streams=SECRET)
    plan = poisson_plan(HELD, local.work, SECRET, 1, numbers)
    alone = private(task, examples, local)(steps)(plan)(expand(task.current(), 1)).params
    assert torch.equal(long(alone), long(first.map(lambda leaf: leaf[2:])))


def test_dropout_draws_a_mask_for_each_example_and_repeats():
    spec = Spec(kind="classes", input_shape=(6,), outputs=3)
    module = nn.Sequential(nn.Linear(6, 8), nn.Dropout(0.5), nn.Linear(8, 3)).double()
    task = Task(module, spec)
    assert way_of(task).name == "layer by layer"
    examples = Examples(torch.ones(40, 6).double(), torch.zeros(40, dtype=torch.int64))
    local = sgd(1, batch_size=0)
    one, two = (federated(task, local, examples=examples)[0].params for _ in range(2))
    assert torch.equal(long(one), long(two))
    other = federated(task, local, examples=examples, secret=streams("seeded", 8))[0].params
    assert not torch.equal(long(one), long(other))
    with torch.random.fork_rng(devices=[]):
        outputs = way_of(task).sum(params_of(task), examples.x, examples.y, 1.0, zeros(task))
    assert len(outputs.unique(dim=0)) > 10  # equal examples, each behind a mask of its own


def test_m10_batch_normalisation_and_running_statistics_are_refused():
    spec = Spec(kind="classes", input_shape=(6,), outputs=3)
    steps = PrivateSteps(clip_norm=1.0, noise_multiplier=1.0, streams=SECRET)
    mixing = [nn.BatchNorm1d(4), nn.BatchNorm1d(4, track_running_stats=False)]
    running = nn.Sequential(
        nn.Unflatten(1, (2, 2)), nn.InstanceNorm1d(2, track_running_stats=True), nn.Flatten()
    )
    for layer in [*mixing, running]:
        task = Task(nn.Sequential(nn.Linear(6, 4), layer, nn.Linear(4, 3)), spec)
        with pytest.raises(ConfigError, match="group normalisation"):
            private(task, examples_of(task, 3), sgd(1))(steps)


def test_layers_that_could_mix_examples_or_read_them_in_parts_go_one_at_a_time():
    image = Spec(kind="classes", input_shape=(6, 6), outputs=3)
    parts = Spec(kind="number", input_shape=(4, 6), outputs=2)

    class Mixing(nn.Module):
        def forward(self, x):
            return x - x.mean(0)

    for spec, layers in [
        (image, [nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(32, 3)]),  # x [B, 6, 6]: one image?
        (parts, [nn.Linear(6, 2)]),
        (image, [nn.Flatten(), Mixing(), nn.Linear(36, 3)]),
        (image, [nn.Flatten(), nn.Linear(36, 3), nn.ReLU(inplace=True), nn.Linear(3, 3)]),
    ]:
        task = Task(nn.Sequential(*layers), spec)
        assert captured(task) is None
        assert len(layers) > 3 or ghost(task) is None
    task = Task(nn.Sequential(nn.Flatten(), Mixing(), nn.Linear(36, 3)).double(), image)
    examples, sums = examples_of(task, 4), zeros(task)
    way_of(task).sum(params_of(task), examples.x, examples.y, 1.0, sums)
    wanted = plain_loop(task, params_of(task), examples, 1.0)
    torch.testing.assert_close(long(sums), long(wanted))


def test_a_clip_of_the_whole_gradient_is_refused():
    task = task_of("mlp")
    steps = PrivateSteps(clip_norm=1.0, noise_multiplier=1.0, streams=SECRET)
    with pytest.raises(ConfigError, match=r"local.clip_norm=2 .*privacy.clip_norm"):
        private(task, examples_of(task, 3), sgd(1, clip_norm=2.0))(steps)


def test_noise_beyond_what_whole_numbers_hold_is_refused():
    steps = PrivateSteps(clip_norm=1.0, noise_multiplier=1e12, streams=SECRET)
    with pytest.raises(ConfigError, match="too much noise"):
        Noise.of(steps, torch.zeros(1000))
