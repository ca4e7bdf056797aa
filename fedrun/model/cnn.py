"""The convolutional network of McMahan et al. 2017, section 3.

Two 5x5 convolutions (32 and 64 channels) that keep the size, each followed by ReLU and 2x2 max
pooling; a layer of 512 units with ReLU; the outputs. On 28x28 one-channel images and 10 classes:
1,663,370 parameters. The first weights are PyTorch's. The paper normalises nothing; `norm` is for
methods that keep a client's own statistics, such as FedBN.
"""

from __future__ import annotations

from typing import Annotated

from torch import nn

from fedrun.core.dataset import Spec
from fedrun.core.option import Count, Length
from fedrun.model._input import images, positive
from fedrun.model._norm import Kind, norm_layers


def cnn(
    spec: Spec,
    *,
    channels: Annotated[list[Count], Length(2)] = [32, 64],  # noqa: B006 - read only
    units: Count = 512,
    norm: Kind = "none",
    groups: Count = 2,
) -> nn.Module:
    """McMahan's CNN for images.

    channels: output channels of the two 5x5 convolutions (paper: 32 and 64).
    units: width of the fully connected layer (paper: 512).
    norm: what normalises each convolution (paper: none; group: GroupNorm; batch: BatchNorm).
    groups: groups of channels of norm=group (a divisor of each of them; 1 takes all together).
    """
    colours, height, width = images("cnn", spec, 4)
    positive("channels", channels, 2)
    first, second = channels
    return nn.Sequential(
        nn.Conv2d(colours, first, 5, padding=2),
        *norm_layers(norm, groups, first),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(first, second, 5, padding=2),
        *norm_layers(norm, groups, second),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(second * (height // 4) * (width // 4), units),
        nn.ReLU(),
        nn.Linear(units, spec.outputs),
    )
