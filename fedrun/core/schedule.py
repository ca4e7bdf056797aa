"""How a learning rate changes from round to round; within a round it is constant."""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, pi
from typing import Literal

from fedrun.core.option import ConfigError, Count

Falls = Count | list[Count]
Kind = Literal["constant", "exponential", "step", "inverse", "inverse_sqrt", "cosine"]


@dataclass(frozen=True)
class Schedule:
    """The learning rate of round t = 0, 1, ...:

    constant     lr
    exponential  lr * decay^t
    step         lr * decay^floor(t / every); of a list, the power is how many of it are <= t
    inverse      lr / (1 + decay t); with decay = 1 that of Li et al., "On the convergence of
                 FedAvg on non-IID data", ICLR 2020
    inverse_sqrt lr / sqrt(1 + t)
    cosine       lr * (1 + cos(pi t / rounds)) / 2
    """

    lr: float
    kind: Kind = "constant"
    decay: float = 1.0
    every: int | list[int] = 1
    rounds: int = 1

    def __call__(self, t: int) -> float:
        if self.kind == "exponential":
            return self.lr * self.decay**t
        if self.kind == "step":
            falls = self.every
            past = t // falls if isinstance(falls, int) else sum(fall <= t for fall in falls)
            return self.lr * self.decay**past
        if self.kind == "inverse":
            return self.lr / (1 + self.decay * t)
        if self.kind == "inverse_sqrt":
            return float(self.lr / (1 + t) ** 0.5)
        if self.kind == "cosine":
            return self.lr * (1 + cos(pi * t / max(self.rounds, 1))) / 2
        return self.lr


def lr_schedule(
    group: str, lr: float, kind: Kind, decay: float, every: int | list[int], rounds: int
) -> Schedule:
    """A `Schedule` whose options all have an effect, or a `ConfigError` naming one that has not."""
    if decay != 1.0 and kind not in ("exponential", "step", "inverse"):
        raise ConfigError(
            f"{group}.decay={decay:g} has no effect with {group}.schedule={kind}; "
            f"take {group}.schedule=exponential, step or inverse"
        )
    if decay == 1.0 and kind in ("exponential", "step"):
        raise ConfigError(
            f"{group}.schedule={kind} changes nothing while {group}.decay=1; give a decay below 1"
        )
    if every != 1 and kind != "step":
        raise ConfigError(
            f"{group}.decay_every={every} has no effect with {group}.schedule={kind}; "
            f"take {group}.schedule=step"
        )
    if isinstance(every, list) and (not every or sorted(set(every)) != every):
        raise ConfigError(
            f"{group}.decay_every={every} is not a list of rounds, each later than the one before"
        )
    return Schedule(lr, kind, decay, every, rounds)
