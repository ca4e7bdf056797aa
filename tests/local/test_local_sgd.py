import pytest
import torch

from fedrun.core.option import ConfigError
from fedrun.local.sgd import sgd

SHAPES = [(3, 2), (4,), ()]


def draw(seed):
    source = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=source, dtype=torch.float64) for shape in SHAPES]


def against(local, optimizer_class, lr, steps=20, **options):
    """The largest difference from PyTorch's own optimiser over some steps, in float64."""
    params = draw(0)
    theirs = [torch.nn.Parameter(p.clone()) for p in params]
    optimizer = optimizer_class(theirs, lr=lr, **options)
    state = local.init(params)
    worst = 0.0
    for t in range(1, steps + 1):
        grads = draw(t)
        for p, g in zip(theirs, grads, strict=True):
            p.grad = g.clone()
        optimizer.step()
        local.step(params, [g.clone() for g in grads], state, t, lr)
        gaps = [(a - b.detach()).abs().max() for a, b in zip(params, theirs, strict=True)]
        worst = max(worst, max(gaps).item())
    return worst


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_it_is_torch_sgd(momentum, weight_decay):
    local = sgd(1, lr=0.3, momentum=momentum, weight_decay=weight_decay)
    options = {"momentum": momentum, "weight_decay": weight_decay}
    assert against(local, torch.optim.SGD, 0.3, **options) < 1e-13


def test_a_stack_of_clients_is_each_of_them():
    local = sgd(1, momentum=0.9, weight_decay=0.1)
    each = [[p.clone() for p in draw(k)] for k in range(3)]
    stacked = [torch.stack(leaves) for leaves in zip(*each, strict=True)]
    states, state = [local.init(p) for p in each], local.init(stacked)
    for t in range(1, 6):
        grads = [draw(10 * k + t) for k in range(3)]
        local.step(stacked, [torch.stack(g) for g in zip(*grads, strict=True)], state, t, 0.3)
        for p, g, s in zip(each, grads, states, strict=True):
            local.step(p, g, s, t, 0.3)
    for leaf, leaves in zip(stacked, zip(*each, strict=True), strict=True):
        assert torch.equal(leaf, torch.stack(leaves))


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("steps", [1, 2, 7])
def test_displacement_is_the_sum_of_the_weights_of_the_gradients(momentum, steps):
    # With the same gradient 1 at every step the distance moved is that sum.
    local = sgd(1, momentum=momentum)
    params = [torch.zeros(1, dtype=torch.float64)]
    state = local.init(params)
    for t in range(1, steps + 1):
        local.step(params, [torch.ones(1, dtype=torch.float64)], state, t, 0.3)
    assert local.displacement(steps, 0.3) == pytest.approx(-params[0].item(), rel=1e-12)


def test_a_gradient_that_two_parameters_share_decays_each_once():
    local = sgd(1, weight_decay=0.5)
    params = [torch.tensor([2.0]), torch.tensor([4.0])]
    shared = torch.tensor([1.0])
    local.step(params, [shared, shared], [], 1, 0.1)
    assert [p.item() for p in params] == pytest.approx([2 - 0.1 * 2, 4 - 0.1 * 3])


def test_the_momentum_starts_at_zero_every_round(line, train):
    # s = w + b at one point (1, 1): the gradient of both is 2 (s - 1), so a step of momentum v adds
    # 2 v to s. Two steps at lr 0.1, momentum 0.5: v = -2 then 0.5 (-2) + 2 (0.4 - 1) = -2.2:
    # s = 0.4, then 0.84. The second round: v = -0.32: s = 0.904; v = -0.16 - 0.192: s = 0.9744.
    model = train(*line([[(1, 1)]]), "rounds=2", "local.steps=2", "local.momentum=0.5")
    assert [leaf.item() for leaf in model.values()] == pytest.approx([0.4872, 0.4872])


def test_epochs_beside_steps_are_refused():
    with pytest.raises(ConfigError, match=r"local.epochs=3 has no effect beside local.steps=2"):
        sgd(1, epochs=3, steps=2)
