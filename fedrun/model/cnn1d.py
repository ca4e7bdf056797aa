"""Convolutions along time, for windows of sensor signals.

Each convolution keeps the length and is followed by ReLU and max pooling by two; a layer of `units`
with ReLU and the outputs read what is left. With the defaults: 274,822 parameters on the 9 signals
of 128 steps and the 6 activities of UCI HAR (Anguita et al. 2013). No one paper's network; first
weights are PyTorch's.
"""

from __future__ import annotations

from itertools import pairwise

from torch import nn

from fedrun.core.dataset import Spec
from fedrun.core.option import ConfigError, Count
from fedrun.model._input import numbers_only, positive
from fedrun.model._norm import Kind, norm_layers


def cnn1d(
    spec: Spec,
    *,
    channels: list[int] = [32, 64],  # noqa: B006 - read only
    kernel: Count = 5,
    units: Count = 128,
    norm: Kind = "none",
    groups: Count = 2,
) -> nn.Module:
    """CNN along time for sensors: examples are channels by steps, or the steps of one channel.

    channels: output channels of each convolution; each also halves the number of steps.
    kernel: steps that a convolution sees at once (at least 1).
    units: width of the fully connected layer.
    norm: what normalises each convolution (none; group: GroupNorm; batch: BatchNorm).
    groups: groups of channels of norm=group (a divisor of each of them; 1 takes all together).
    """
    sensors, steps = _signals(spec, 2 ** len(channels))
    positive("channels", channels)
    odd = kernel % 2 == 1
    layers: list[nn.Module] = [] if len(spec.input_shape) == 2 else [nn.Unflatten(1, (1, steps))]
    for inputs, outputs in pairwise([sensors, *channels]):
        if odd:
            layers.append(nn.Conv1d(inputs, outputs, kernel, padding=kernel // 2))
        else:  # padding="same" does this too, with a warning
            layers.append(nn.ZeroPad1d((kernel // 2 - 1, kernel // 2)))
            layers.append(nn.Conv1d(inputs, outputs, kernel))
        layers += norm_layers(norm, groups, outputs, nn.BatchNorm1d)
        layers += [nn.ReLU(), nn.MaxPool1d(2)]
    width = channels[-1] * (steps // 2 ** len(channels))
    return nn.Sequential(
        *layers, nn.Flatten(), nn.Linear(width, units), nn.ReLU(), nn.Linear(units, spec.outputs)
    )


def _signals(spec: Spec, least: int) -> tuple[int, int]:
    """Sensors and steps."""
    numbers_only("cnn1d", spec)
    shape = spec.input_shape
    if len(shape) not in (1, 2) or shape[-1] < least:
        raise ConfigError(
            f"model=cnn1d needs examples of channels x steps, with at least {least} steps, and "
            f"this data set has examples of shape {'x'.join(map(str, shape))}; take "
            + ("model=cnn or model=mlp" if len(shape) == 3 else "fewer model.channels or model=mlp")
        )
    return (1 if len(shape) == 1 else shape[0]), shape[-1]
