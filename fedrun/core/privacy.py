"""What a release of a federation gives away, in plain records.

An event says how one round's answer was noised, and how those who took part were drawn: all that an
accountant needs. Who makes the noise stands in `fedrun/privacy`, who adds the events up in
`fedrun/accounting`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from math import isfinite
from typing import Any, Literal, Protocol, get_args

from torch import Tensor

from fedrun.core.chain import Layer
from fedrun.core.dataset import Array
from fedrun.core.option import RunError
from fedrun.core.tree import Tree

Scheme = Literal["poisson", "fixed", "full", "cyclic", "shuffled"]
"""poisson: each by a coin of its own; fixed: so many without replacement, all such sets alike;
full: everybody in every round; cyclic: one after the other in a fixed order; shuffled: pass after
pass over all, each in a new order."""

Mechanism = Literal["gaussian", "laplace", "randomized_response", "tree", "banded"]

Unit = Literal["client", "example", "label"]
"""Whose presence, or value, is hidden."""

Relation = Literal["add_remove", "zero_out", "replace_one"]
"""What neighbours are: one is there or not; one counts or counts as nothing; one is another."""

Purpose = Literal["cohort", "noise", "batch", "mask", "canary", "label"]
"""What a secret stream is for; each serves no other."""


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How those who take part in a round are drawn: `cohort` of `population`.

    cohort: how many, for `poisson` on average; so it need not be whole.
    """

    scheme: Scheme
    population: int
    cohort: float

    @property
    def rate(self) -> float:
        """The chance to take part in a round."""
        return self.cohort / self.population


@dataclass(frozen=True, kw_only=True)
class Event:
    """One release.

    noise_multiplier: standard deviation (of `laplace`: scale; of `tree`: of each node) of the noise
        on the sum, over how far one participant can move the sum (`laplace`: in L1 norm), where it
        is there or not: the clip norm; 0 is no noise. Of `banded`: over that distance as seen by
        the whole matrix mechanism.
    epsilon: of `randomized_response`: that of one answer; classes: the answers it may give.
    restart: of `tree`: releases before a new tree begins, 0 is never;
    bands: of `banded`: releases between two of one participant, at least.
    """

    mechanism: Mechanism = "gaussian"
    sampling: Sampling
    noise_multiplier: float = 0.0
    epsilon: float = 0.0
    classes: int = 0
    restart: int = 0
    bands: int = 0

    def to_json(self) -> dict[str, Any]:
        """Plain values; numbers that say nothing are left out."""
        plain = {name: value for name, value in asdict(self).items() if value}
        return plain | {"noise_multiplier": self.noise_multiplier}

    @classmethod
    def from_json(cls, content: Any) -> Event:
        """The event that `to_json` described; a `RunError` where this is none."""
        try:
            given = dict(content)
            sampling = Sampling(**given.pop("sampling"))
            event = cls(sampling=sampling, **given)
        except (TypeError, ValueError, KeyError) as error:
            raise RunError(f"{content!r:.200} is not an event of a privacy ledger") from error
        numbers = [event.noise_multiplier, event.epsilon, sampling.cohort]
        whole = [event.classes, event.restart, event.bands, sampling.population]
        sane = (
            event.mechanism in get_args(Mechanism)
            and sampling.scheme in get_args(Scheme)
            and all(type(n) in (int, float) and isfinite(n) and n >= 0 for n in numbers)
            and all(type(n) is int and n >= 0 for n in whole)
            and 0 < sampling.cohort <= sampling.population
        )
        if not sane:
            raise RunError(f"{content!r:.200} is not an event of a privacy ledger")
        return event


class Stream(Protocol):
    """Secret random numbers of one purpose in one round at one client, from the stream's begin on.

    They come from a cryptographic generator, and asking again gives the ones that follow.

    key: the 32 bytes of AES-256 whose keystream in counter mode, from counter 0 on, the words are.
    """

    @property
    def key(self) -> bytes: ...

    def words(self, count: int) -> Array:
        """uint64 [count], uniform: those that `uniform` would be made of."""
        ...

    def uniform(self, count: int) -> Array:
        """float64 [count] in [0, 1), of 53 bits each."""
        ...

    def normal(self, count: int) -> Tensor:
        """float64 [count], standard normal."""
        ...


Streams = Callable[[Purpose, int, int], Stream]
"""(purpose, round, client) -> its stream; client 0 where the purpose is the server's."""


@dataclass(frozen=True, kw_only=True)
class PrivateSteps:
    """Local steps that hide each example (DP-SGD): a step sums the gradients of a Poisson batch,
    each clipped to `clip_norm`, adds noise of `noise_multiplier * clip_norm`, and divides by the
    size that the batch has on average."""

    clip_norm: float
    noise_multiplier: float
    streams: Streams


@dataclass(frozen=True, kw_only=True)
class Claim:
    """What a guarantee is about, and what it rests on.

    trust: who is trusted with what, in words; caveats: what a reader must know besides.
    """

    unit: Unit
    relation: Relation
    delta: float
    trust: str
    caveats: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Privacy:
    """What one choice of the group `privacy` brings into a federation.

    layer: its place on the chain between client and server; None where it has none
    claim: what the guarantee is about; None where there is none
    event: what each round's release costs everybody; it is owed whoever came
    own: (examples held, local steps) -> what one round costs a client that took part, and how many
        times; where each client has an account of its own
    answers: (labels) -> the labels that are trained on instead, where labels are what is protected
    once: what is paid once, before round 1
    simulated: the event in the place of `event` of the larger federation that is simulated
    target: (epsilon, releases): so many releases cost no more, as the noise was made for that; None
        where it was not
    streams: where secret numbers come from; None where nothing is secret
    steps: how clients take their local steps, where examples are what is protected
    figures: (the layer's state) -> figures of a round that may be published
    withholds: the beginnings of the names of figures that may not be written beside an epsilon: all
        that is taken from clients' data or tells who came; with any of them, the rows of clients
    leaky: whether such figures and rows are written all the same
    repeats: whether the same seed gives the same noise
    """

    layer: Layer | None = None
    claim: Claim | None = None
    event: Event | None = None
    own: Callable[[int, int], tuple[Event, int]] | None = None
    answers: Callable[[Array], Array] | None = None
    once: Event | None = None
    simulated: Event | None = None
    target: tuple[float, int] | None = None
    streams: Streams | None = None
    steps: PrivateSteps | None = None
    figures: Callable[[Tree], dict[str, float]] | None = None
    withholds: tuple[str, ...] = ("train/", "clients/", "personal/")
    leaky: bool = False
    repeats: bool = True

    @property
    def hidden(self) -> tuple[str, ...]:
        """The figures that are not written."""
        return self.withholds if self.claim and not self.leaky else ()

    @property
    def hides_clients(self) -> bool:
        """Whether the rows of clients are not written."""
        return bool(self.hidden)
