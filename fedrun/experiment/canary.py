"""Canaries: clients of our own making, each in the federation by a fair coin.

A canary sends one fixed direction, longer than any clip norm, whenever the sampler draws it. It
takes the way of every client: the privacy layer's own `encode` clips it and puts it on the grid,
and it is added to the exact sum before the layer's `decode` noises that. No training code knows of
it: the privacy layer is wrapped, and nothing else changes but who may be drawn.

Who is drawn:
poisson: each canary by a coin of its own, with every client's chance; the claim stays as it is.
full: all in every round. cyclic, shuffled: whenever one fixed client is, so that the pattern of
taking part is a client's; the claim stays as it is.
fixed: the cohort is drawn from clients and canaries together, and is larger by the same factor,
rounded down; what is claimed of that larger federation is what is audited (`Canaries.sampling`).

Under `replace_one` a canary that is out sends the opposite direction; else it sends nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from fedrun.core.chain import Context, Layer, Packets, Total, add, total
from fedrun.core.cohort import lots
from fedrun.core.dataset import Array
from fedrun.core.option import ConfigError
from fedrun.core.privacy import Relation, Sampling, Streams
from fedrun.core.tree import Tree, flatten, unflatten
from fedrun.experiment.build import Experiment

FAR = 1e6  # clip norms are far below, and its square is a float32
CHUNK = 64  # canaries that are encoded together
MOST = 2**28  # numbers in all directions together: 1 GiB


@dataclass(frozen=True)
class Canaries:
    """m canaries of one audit; all about them follows from the secret streams.

    clients: int64, ascending: who else there is; cohort: (round) -> int64, who of them takes part;
    first: the number of the first canary, behind all clients; sampling: how clients and canaries
    are drawn, which is what the claim is about.
    """

    number: int
    relation: Relation
    streams: Streams
    clients: Array
    cohort: Callable[[int], Array]
    first: int
    sampling: Sampling

    @cached_property
    def coins(self) -> Array:
        """bool [m]: who is in."""
        return np.asarray(self.streams("canary", 0, 0).uniform(self.number) < 0.5)

    def drawn(self, round: int) -> Array:
        """int64, ascending: the canaries that the sampler draws, in or out."""
        scheme = self.sampling.scheme
        if scheme == "full":
            return np.arange(self.number)
        if scheme == "poisson":
            return np.flatnonzero(self._uniform(round, self.number) < self.sampling.rate)
        if scheme == "fixed":
            both = self._both(round)
            return both[both >= len(self.clients)] - len(self.clients)
        hosts = self.clients[np.arange(self.number) % len(self.clients)]
        return np.flatnonzero(np.isin(hosts, self.cohort(round)))

    def chance(self, rounds: int) -> float:
        """That a canary is ever drawn, on average."""
        if self.sampling.scheme in ("cyclic", "shuffled"):
            return min(1.0, rounds * self.sampling.rate)
        return 1 - (1 - self.sampling.rate) ** rounds

    def beside(self, round: int) -> Array:
        """int64, ascending: the clients that take part."""
        if self.sampling.scheme != "fixed":
            return self.cohort(round)
        both = self._both(round)
        return self.clients[both[both < len(self.clients)]]

    def _both(self, round: int) -> Array:
        """int64, ascending: places of clients, then canaries, drawn together."""
        everybody = len(self.clients) + self.number
        size = int(self.sampling.cohort)
        return lots(everybody, size, lambda round: self._uniform(round, everybody))(round)

    def _uniform(self, round: int, count: int) -> Array:
        return self.streams("canary", round, 0).uniform(count)


def released_into(experiment: Experiment, number: int) -> Canaries:
    """So many canaries for this federation."""
    privacy, federation, seen = experiment.privacy, experiment.federation, experiment.seen
    assert privacy.event
    assert privacy.claim
    assert privacy.streams
    sampling = privacy.event.sampling
    if sampling.scheme == "fixed":
        everybody = sampling.population + number
        size = int(sampling.cohort * everybody / sampling.population)
        sampling = replace(sampling, population=everybody, cohort=size)
    return Canaries(
        number=number,
        relation=privacy.claim.relation,
        streams=privacy.streams,
        clients=seen,
        cohort=federation.cohort,
        first=len(experiment.partition),
        sampling=sampling,
    )


class Directions:
    """A unit vector for each canary in the space of an update, made when the first one is seen.

    They are at right angles where there is room; in many dimensions random ones nearly are.
    """

    def __init__(self, canaries: Canaries) -> None:
        self.canaries = canaries
        self.like: Tree | None = None
        self.vectors = torch.empty(0)

    def in_space_of(self, update: Tree) -> None:
        """Make them for updates of this shape."""
        self.like = update
        self.vectors = self._made(len(flat(update)))

    def _made(self, dimension: int) -> Tensor:
        """float32 [m, D], in the order of `flat`."""
        number = self.canaries.number
        if number * dimension > MOST:
            raise ConfigError(
                f"--canaries={number} in {dimension:,} parameters need "
                f"{number * dimension * 4 / 2**30:.1f} GiB; take at most {MOST // dimension}"
            )
        stream, vectors = self.canaries.streams("canary", 0, 1), torch.empty(number, dimension)
        for vector in vectors:
            vector.copy_(stream.normal(dimension))
        if number <= dimension < 100 * number:
            vectors = torch.linalg.qr(vectors.T)[0].T.contiguous()
        vectors /= torch.linalg.vector_norm(vectors, dim=1, keepdim=True)
        return vectors


def watched(inner: Layer, canaries: Canaries, directions: Directions) -> Layer:
    """The privacy layer with canaries in its sum; its state says how much of each was seen.

    seen: float64 [m], over all rounds, the products of each direction and what was released.
    """

    def init() -> Tree:
        return Tree(inner=inner.init(), seen=torch.zeros(canaries.number, dtype=torch.float64))

    def decode(sum: Total, state: Tree, where: Context) -> tuple[Total, Tree]:
        before = state["inner"]
        if directions.like is None:
            # What is released has the shape of an update, which the sum of packets need not have.
            directions.in_space_of(inner.decode(sum, before, where)[0].update)
        for part, packets in sent(canaries, directions, where.round):
            clients = canaries.first + part
            encoded = inner.encode(packets, inner.told(before), Context(where.round, clients))
            sum = add(sum, total(encoded))
        released, renewed = inner.decode(sum, before, where)
        seen = state["seen"] + (directions.vectors @ flat(released.update)).double()
        return released, Tree(inner=renewed, seen=seen)

    return Layer(
        encode=inner.encode, decode=decode, init=init, told=lambda state: inner.told(state["inner"])
    )


def sent(canaries: Canaries, directions: Directions, round: int) -> Iterator[tuple[Array, Packets]]:
    """What the canaries of a round send: their numbers and packets, chunk by chunk."""
    vectors, like = directions.vectors, directions.like
    assert like is not None
    drawn = canaries.drawn(round)
    if canaries.relation != "replace_one":
        drawn = drawn[canaries.coins[drawn]]
    for begin in range(0, len(drawn), CHUNK):
        part = drawn[begin : begin + CHUNK]
        length = torch.from_numpy(np.where(canaries.coins[part], FAR, -FAR)).float()
        update = unflat(vectors[torch.from_numpy(part)] * length[:, None], like)
        yield part, Packets(update, torch.full((len(part),), FAR))


def flat(update: Tree) -> Tensor:
    """float32 [D]: the leaves one after the other, by their names."""
    leaves = flatten(update)
    names = sorted(name for name in leaves if leaves[name] is not None)
    return torch.cat([leaves[name].detach().cpu().reshape(-1).float() for name in names])


def unflat(flat_CD: Tensor, like: Tree) -> Tree:
    """Leaves [C, ...] of the shapes of `like`, from `flat`'s order."""
    leaves = flatten(like)
    names = sorted(name for name in leaves if leaves[name] is not None)
    parts = torch.split(flat_CD, [leaves[name].numel() for name in names], dim=1)
    made = {
        name: part.reshape(len(flat_CD), *leaves[name].shape)
        for name, part in zip(names, parts, strict=True)
    }
    return unflatten({name: made.get(name) for name in leaves})
