"""Fully connected layers with ReLU.

`hidden=[200, 200]` on 784 inputs and 10 classes is the "2NN" of McMahan et al. 2017, section 3:
199,210 parameters.
"""

from __future__ import annotations

from itertools import pairwise
from math import prod

from torch import nn

from fedrun.core.dataset import Spec
from fedrun.core.option import ConfigError
from fedrun.model._input import numbers_only


def mlp(spec: Spec, *, hidden: list[int] = [200, 200]) -> nn.Module:  # noqa: B006 - read only
    """Multilayer perceptron; its weights start as PyTorch's linear layers do.

    hidden: units of each hidden layer (2NN: [200,200]; [] is one linear layer).
    """
    numbers_only("mlp", spec)
    if any(units < 1 for units in hidden):
        raise ConfigError(f"model.hidden={hidden}: every layer needs at least 1 unit")
    layers: list[nn.Module] = [nn.Flatten()]
    for width, units in pairwise([prod(spec.input_shape), *hidden]):
        layers += [nn.Linear(width, units), nn.ReLU()]
    last = hidden[-1] if hidden else prod(spec.input_shape)
    return nn.Sequential(*layers, nn.Linear(last, spec.outputs))
