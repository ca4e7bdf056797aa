"""The LeNet-like network of NIID-Bench (Li, Diao, Chen, He 2022, "Federated Learning on Non-IID
Data Silos: An Experimental Study", ICDE), `simple-cnn` in the authors' code.

Two 5x5 convolutions (6 and 16 channels) without padding, each followed by ReLU and 2x2 max pooling;
layers of 120 and 84 units with ReLU; the outputs. 44,426 parameters on 28x28 one-channel images and
10 classes, 62,006 on 32x32 colour images. The first weights are PyTorch's, as in the authors' code.

With `channels=[64,64]` and `units=[384,192]` it is the network of FedDyn (Acar et al. 2021) for
CIFAR-10, 797,962 parameters; with `padding=2` LeNet-5's sizes on 28x28 images, 61,706 parameters;
with `projection=256` MOON's network (Li, He, Song 2021, `ModelFedCon` in the authors' code), whose
head is two layers, 84 with ReLU and 256 without, between encoder and outputs.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated

from torch import nn

from fedrun.core.dataset import Spec
from fedrun.core.option import Count, Length, Size
from fedrun.model._input import images, positive

KERNEL = 5


def lenet(
    spec: Spec,
    *,
    channels: Annotated[list[Count], Length(2)] = [6, 16],  # noqa: B006 - read only
    units: list[int] = [120, 84],  # noqa: B006 - read only
    padding: Size = 0,
    projection: Size = 0,
) -> nn.Module:
    """NIID-Bench's small CNN for images.

    channels: output channels of the two 5x5 convolutions (paper: 6 and 16).
    units: widths of the fully connected layers (paper: 120 and 84).
    padding: rows and columns of zeros around the first image (paper: 0; 2 keeps its size).
    projection: width of the projection head before the outputs (MOON: 256; 0 has none).
    """
    colours, height, width = images("lenet", spec, max(16 - 2 * padding, 1))
    positive("channels", channels, 2)
    positive("units", units)
    rows, columns = (_left(_left(side + 2 * padding)) for side in (height, width))
    first, second = channels
    dense: list[nn.Module] = []
    for width, out in pairwise([second * rows * columns, *units]):
        dense += [nn.Linear(width, out), nn.ReLU()]
    last = units[-1]
    if projection:
        dense += [nn.Linear(last, last), nn.ReLU(), nn.Linear(last, projection)]
        last = projection
    return nn.Sequential(
        nn.Conv2d(colours, first, KERNEL, padding=padding),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(first, second, KERNEL),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        *dense,
        nn.Linear(last, spec.outputs),
    )


def _left(side: int) -> int:
    """Pixels of a side after a convolution and its pooling."""
    return (side - KERNEL + 1) // 2
