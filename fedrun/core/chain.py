"""The one path between client and server: a chain of two-sided layers.

Each layer encodes what a client sends and decodes the sum of it at the server; decoding runs in the
opposite order. Weighting is a layer too. `build` sets the order, so a user cannot get it wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import torch
from torch import Tensor

from fedrun.core.dataset import Array
from fedrun.core.tree import Tree, per_client


@dataclass(frozen=True)
class Packets:
    """What the clients of a chunk send: update Tree_C with its weight float32 [C].

    clipped: bool [C], for the records, whose update was shortened on its way here; None is nobody.
    """

    update: Tree
    weight: Tensor
    clipped: Tensor | None = None


@dataclass(frozen=True)
class Total:
    """The sum of packets: update Tree, and weight as a 0-d tensor."""

    update: Tree
    weight: Tensor


Sent = TypeVar("Sent", Packets, Total)


@dataclass(frozen=True)
class Context:
    """Where a layer is at work: the round, 1, 2, ..., and the clients of the packets, int64 [C]; at
    the server nobody."""

    round: int
    clients: Array


@dataclass(frozen=True, kw_only=True)
class Layer:
    """encode: at the clients of a chunk, with what the server told them; decode: at the server, on
    the sum over the cohort and the layer's state.

    init: the state before round 1; told: (state) -> what the clients of a round are told.
    """

    encode: Callable[[Packets, Tree, Context], Packets]
    decode: Callable[[Total, Tree, Context], tuple[Total, Tree]]
    init: Callable[[], Tree] = Tree
    told: Callable[[Tree], Tree] = lambda state: Tree()


weigh = Layer(
    encode=lambda packets, *_: replace(packets, update=per_client(packets.update, packets.weight)),
    decode=lambda total, state, _: (replace(total, update=total.update / total.weight), state),
)
"""Updates travel multiplied by their weights; the sum is divided by the sum of the weights."""


def init(chain: Sequence[Layer]) -> Tree:
    """The state of every layer that has one, under its place."""
    states = ((str(place), layer.init()) for place, layer in enumerate(chain))
    return Tree((place, state) for place, state in states if state)


def told(chain: Sequence[Layer], states: Tree) -> Tree:
    """What the clients are told by every layer that tells them something."""
    words = ((place, chain[int(place)].told(state)) for place, state in states.items())
    return Tree((place, word) for place, word in words if word)


def encode(chain: Sequence[Layer], packets: Packets, told: Tree, context: Context) -> Packets:
    for place, layer in enumerate(chain):
        packets = layer.encode(packets, told.get(str(place), Tree()), context)
    return packets


def decode(
    chain: Sequence[Layer], total: Total, states: Tree, context: Context
) -> tuple[Total, Tree]:
    """The mean of what was sent, and the layers' renewed states."""
    renewed = Tree(states)
    for place, layer in reversed(list(enumerate(chain))):
        total, state = layer.decode(total, states.get(str(place), Tree()), context)
        if state:
            renewed[str(place)] = state
    return total, renewed


def drop(packets: Packets, keep: Tensor) -> Packets:
    """Zero the packets of the clients that are not kept (bool [C]); their weight becomes 0 too."""
    if bool(keep.all()):
        return packets

    def zero(leaf: Tensor) -> Tensor:
        kept = keep.to(leaf.device).view(-1, *[1] * (leaf.ndim - 1))
        return torch.where(kept, leaf, torch.zeros_like(leaf))

    return Packets(packets.update.map(zero), zero(packets.weight))


def kept(packets: Packets, keep: Tensor) -> Packets:
    """The packets of these clients (bool [C]) alone."""
    if bool(keep.all()):
        return packets
    return Packets(packets.update.map(lambda leaf: leaf[keep]), packets.weight[keep])


def total(packets: Packets) -> Total:
    """The sum over the clients of a chunk."""
    alone = len(packets.weight) == 1

    def summed(leaf: Tensor) -> Tensor:
        found = leaf[0] if alone else leaf.sum(0)
        return found if found.is_floating_point() else found.to(torch.int64)  # sums of many fit

    update = packets.update.map(summed)
    return Total(update, packets.weight.sum())


def add(left: Sent, right: Sent) -> Sent:
    """Sums of two chunks added up, or their packets one after the other."""
    if isinstance(left, Total):
        return replace(left, update=left.update + right.update, weight=left.weight + right.weight)
    update = left.update.map(lambda *leaves: torch.cat(leaves), right.update)
    return replace(left, update=update, weight=torch.cat([left.weight, right.weight]))
