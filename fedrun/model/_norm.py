"""The normalisation that a convolutional model asks for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from torch import nn

from fedrun.core.option import ConfigError

Norm = Callable[[int], nn.Module]
"""channels -> the layer that normalises them"""
Kind = Literal["none", "group", "batch"]


def norm_layers(
    norm: Kind, groups: int, channels: int, batch: Norm = nn.BatchNorm2d
) -> list[nn.Module]:
    """What stands behind a convolution: nothing, GroupNorm or BatchNorm."""
    if norm == "none":
        return []
    return [group_norm(groups, channels) if norm == "group" else batch(channels)]


def group_norm(groups: int, channels: int) -> nn.Module:
    """GroupNorm; refuse a number of groups that does not divide the channels."""
    if channels % groups:
        raise ConfigError(
            f"model.groups={groups} does not divide a layer's {channels} channels into equal "
            f"groups; take a divisor, such as 1 or 2"
        )
    return nn.GroupNorm(groups, channels)
