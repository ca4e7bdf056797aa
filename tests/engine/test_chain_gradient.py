"""What counts as a chain of linear layers and ReLU, and the slope of the losses."""

import pytest
import torch
from torch import nn

from fedrun.core.dataset import Spec
from fedrun.core.task import Task
from fedrun.engine._chain_gradient import is_chain, loss_slope


@pytest.mark.parametrize(("kind", "outputs"), [("classes", 3), ("binary", 1), ("number", 2)])
def test_the_slope_is_that_of_autograd(kind, outputs):
    source = torch.Generator().manual_seed(3)
    z = torch.randn(4, outputs, generator=source, dtype=torch.float64, requires_grad=True)
    y = torch.randint(2, (4,), generator=source)
    y = torch.randn(4, 2, generator=source, dtype=torch.float64) if kind == "number" else y
    loss = Task(nn.Linear(1, 1), Spec((1,), outputs, kind)).loss(z, y).sum()
    (expected,) = torch.autograd.grad(loss, z)
    torch.testing.assert_close(loss_slope(kind, z.detach(), y), expected)


class Doubled(nn.Linear):
    def forward(self, x):
        return 2 * super().forward(x)


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        (nn.Sequential(nn.Flatten(), nn.Linear(2, 1)), True),
        (nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1)), True),
        (nn.Sequential(nn.Linear(2, 2, bias=False)), False),
        (nn.Sequential(nn.Linear(2, 2), nn.Tanh(), nn.Linear(2, 1)), False),
        (nn.Sequential(nn.Linear(2, 2), nn.ReLU()), False),
        (nn.Sequential(Doubled(2, 1)), False),
        (nn.Sequential(), False),
        (nn.Linear(2, 1), False),
    ],
)
def test_only_plain_chains_get_the_kernel(module, expected):
    assert is_chain(module) is expected
