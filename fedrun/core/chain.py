"""The one path between client and server: a chain of two-sided layers.

Each layer encodes what a client sends and decodes the sum of it at the server; decoding runs in the
opposite order. Weighting is a layer too. `build` sets the order, so a user cannot get it wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from fedrun.core.tree import Tree, per_client


@dataclass(frozen=True)
class Packets:
    """What the clients of a chunk send: update Tree_C with its weight float32 [C]."""

    update: Tree
    weight: Tensor


@dataclass(frozen=True)
class Total:
    """The sum of packets: update Tree, and weight as a 0-d tensor."""

    update: Tree
    weight: Tensor


@dataclass(frozen=True)
class Layer:
    """encode: at the clients of a chunk; decode: at the server, on the sum over the cohort."""

    encode: Callable[[Packets], Packets]
    decode: Callable[[Total], Total]


weigh = Layer(
    encode=lambda packets: replace(packets, update=per_client(packets.update, packets.weight)),
    decode=lambda total: replace(total, update=total.update / total.weight),
)
"""Updates travel multiplied by their weights; the sum is divided by the sum of the weights."""


def encode(chain: Sequence[Layer], packets: Packets) -> Packets:
    for layer in chain:
        packets = layer.encode(packets)
    return packets


def decode(chain: Sequence[Layer], total: Total) -> Total:
    for layer in reversed(chain):
        total = layer.decode(total)
    return total


def drop(packets: Packets, keep: Tensor) -> Packets:
    """Zero the packets of the clients that are not kept (bool [C]); their weight becomes 0 too."""
    if bool(keep.all()):
        return packets

    def zero(leaf: Tensor) -> Tensor:
        kept = keep.to(leaf.device).view(-1, *[1] * (leaf.ndim - 1))
        return torch.where(kept, leaf, torch.zeros_like(leaf))

    return Packets(packets.update.map(zero), zero(packets.weight))


def total(packets: Packets) -> Total:
    """The sum over the clients of a chunk."""
    alone = len(packets.weight) == 1
    update = packets.update.map(lambda leaf: leaf[0] if alone else leaf.sum(0))
    return Total(update, packets.weight.sum())


def add(left: Total, right: Total) -> Total:
    return Total(left.update + right.update, left.weight + right.weight)
