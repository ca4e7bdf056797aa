"""One linear layer on the flattened example."""

from __future__ import annotations

from math import prod

from torch import nn

from fedrun.core.dataset import Spec
from fedrun.core.option import Annotated, at_least
from fedrun.model._input import numbers_only


def logistic(spec: Spec, *, init: Annotated[float, at_least(0)] | None = None) -> nn.Module:
    """Logistic (softmax) regression; on a regression task the same layer is linear regression.

    init: null takes PyTorch's uniform start; 0 starts at zero; else the sd of normal weights.
    """
    numbers_only("logistic", spec)
    layer = nn.Linear(prod(spec.input_shape), spec.outputs)
    if init is not None:
        nn.init.normal_(layer.weight, std=init) if init else nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)
    return nn.Sequential(nn.Flatten(), layer)
