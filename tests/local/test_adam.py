import pytest
import torch

from fedrun.local.adam import adam

SHAPES = [(3, 2), (4,), ()]


def draw(seed):
    source = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=source, dtype=torch.float64) for shape in SHAPES]


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
@pytest.mark.parametrize("betas", [(0.9, 0.999), (0.5, 0.7), (0.0, 0.0)])
def test_it_is_torch_adam(weight_decay, betas):
    local = adam(
        1, lr=0.05, beta1=betas[0], beta2=betas[1], epsilon=1e-3, weight_decay=weight_decay
    )
    params = draw(0)
    theirs = [torch.nn.Parameter(p.clone()) for p in params]
    optimizer = torch.optim.Adam(theirs, 0.05, betas, 1e-3, weight_decay)
    state = local.init(params)
    for t in range(1, 21):
        grads = draw(t)
        for p, g in zip(theirs, grads, strict=True):
            p.grad = g.clone()
        optimizer.step()
        local.step(params, [g.clone() for g in grads], state, t, 0.05)
        for ours, other in zip(params, theirs, strict=True):
            torch.testing.assert_close(ours, other.detach(), rtol=0, atol=1e-12)


def test_the_first_step_has_the_length_of_the_rate():
    local = adam(1, lr=0.05)
    params = [torch.tensor([1.0, 1.0, 1.0])]
    local.step(params, [torch.tensor([1e-3, -7.0, 400.0])], local.init(params), 1, 0.05)
    assert params[0].tolist() == pytest.approx([0.95, 1.05, 0.95], rel=1e-5)


def test_it_has_no_displacement():
    assert adam(1).displacement is None


def test_a_gradient_that_two_parameters_share_decays_each_once():
    local = adam(1, weight_decay=0.5, epsilon=1.0, lr=1.0)
    params = [torch.tensor([2.0]), torch.tensor([4.0])]
    shared = torch.tensor([1.0])
    local.step(params, [shared, shared], local.init(params), 1, 1.0)
    # The first step is lr * g / (|g| + epsilon), with g = 1 + 0.5 w.
    assert [p.item() for p in params] == pytest.approx([2 - 2 / 3, 4 - 3 / 4])
