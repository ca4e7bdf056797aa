"""The network for EMNIST characters of Reddi et al. 2021, "Adaptive Federated Optimization", ICLR,
`create_conv_dropout_model` in the authors' code.

Two 3x3 convolutions (32 and 64 channels) without padding, each followed by ReLU; 2x2 max pooling; a
layer of 128 units with ReLU; the outputs. On 28x28 one-channel images 1,206,590 parameters with 62
classes and 1,199,882 with 10.

Differs: the first weights are PyTorch's, the authors' Glorot's; dropout is off unless asked for.
"""

from __future__ import annotations

from typing import Annotated

from torch import nn

from fedrun.core.dataset import Spec
from fedrun.core.option import ConfigError, Count, Length, between
from fedrun.model._input import images, positive

Chance = Annotated[float, between(0, 1, open_high=True)]


def cnn_femnist(
    spec: Spec,
    *,
    channels: Annotated[list[Count], Length(2)] = [32, 64],  # noqa: B006 - read only
    units: Count = 128,
    dropout: Annotated[list[Chance], Length(2)] = [0.0, 0.0],  # noqa: B006 - read only
) -> nn.Module:
    """CNN for handwritten characters, of the paper on adaptive server optimisers.

    channels: output channels of the two 3x3 convolutions (paper: 32 and 64).
    units: width of the fully connected layer (paper: 128).
    dropout: chance to drop a number behind the pooling, and a unit behind the fully connected
    layer (at least 0 and below 1; authors' code: 0.25 and 0.5; 0 drops none).
    """
    colours, height, width = images("cnn_femnist", spec, 6)
    positive("channels", channels, 2)
    if len(dropout) != 2 or not all(0 <= chance < 1 for chance in dropout):
        raise ConfigError(
            f"model.dropout={dropout} is not two numbers of at least 0 and below 1, such as "
            f"[0.25,0.5]"
        )
    first, second = channels
    return nn.Sequential(
        nn.Conv2d(colours, first, 3),
        nn.ReLU(),
        nn.Conv2d(first, second, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        *_dropped(dropout[0]),
        nn.Flatten(),
        nn.Linear(second * ((height - 4) // 2) * ((width - 4) // 2), units),
        nn.ReLU(),
        *_dropped(dropout[1]),
        nn.Linear(units, spec.outputs),
    )


def _dropped(chance: float) -> list[nn.Module]:
    """No layer where nothing is dropped: the fast engines know this network without them."""
    return [nn.Dropout(chance)] if chance else []
