"""Adagrad at the server: what makes FedAvg into FedAdagrad.

Reddi, Charles, Zaheer, Garrett, Rush, Konecny, Kumar, McMahan, "Adaptive federated optimization",
ICLR 2021, algorithm 2 (FedAdagrad; its experiments have beta_1 = 0).

    m <- beta1 m + (1 - beta1) delta
    v <- v + delta^2
    x <- x + lr m / (sqrt(v) + tau)

| symbol | name |
| --- | --- |
| Delta_t, the mean update, which points downhill | delta |
| m_t, v_t | mean, square |
| eta (server), beta_1, tau | lr, beta1, tau |

| variant | beta1 | tau | v before the first step | tau stands |
| --- | --- | --- | --- | --- |
| paper | 0 | 1e-3 | tau^2 | beside the root |
| keras (`keras.optimizers.Adagrad`) | 0 | 1e-7 | 0.1 | under the root: sqrt(v + tau) |
| flamby (FLamby's settings for Fed-Heart-Disease) | 0.9 | 1e-8 | 0 | beside the root |

TensorFlow 2.0 to 2.10 had tau beside the root: `variant=paper tau=1e-7 accumulator=0.1`. The
paper's own code was such an Adagrad with `accumulator=0`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from fedrun.core.algorithm import Server
from fedrun.core.option import above, at_least, between
from fedrun.core.schedule import Falls, Kind, lr_schedule
from fedrun.core.tree import Tree
from fedrun.server._adaptive import Variant

VARIANTS = {
    "paper": Variant(beta1=0.0, tau=1e-3, accumulator=None),
    "keras": Variant(beta1=0.0, tau=1e-7, accumulator=0.1, inside=True),
    "flamby": Variant(beta1=0.9, tau=1e-8, accumulator=0.0),
}


def adagrad(
    rounds: int,
    *,
    lr: Annotated[float, above(0)] = 0.1,
    variant: Literal["paper", "keras", "flamby"] = "paper",
    beta1: Annotated[float, between(0, 1, open_high=True)] | None = None,
    tau: Annotated[float, above(0)] | None = None,
    accumulator: Annotated[float, at_least(0)] | None = None,
    schedule: Kind = "constant",
    decay: Annotated[float, between(0, 1, open_low=True)] = 1.0,
    decay_every: Falls = 1,
) -> Server:
    """The server takes Adagrad steps along the mean update (FedAdagrad).

    lr: step size (paper: 0.1 for EMNIST and CIFAR-100; FLamby: 0.316).
    variant: paper starts v at tau^2; keras has tau under the root and starts v at 0.1; flamby has a
        mean with memory and starts v at 0.
    beta1: memory of the mean; null: the variant's (paper, keras: 0; flamby: 0.9).
    tau: added to the root, the smaller the more adaptive; null: the variant's (paper: 1e-3; keras:
        1e-7, to v; flamby: 1e-8).
    accumulator: v before the first step; null: the variant's (paper: tau^2; keras: 0.1; flamby: 0).
    schedule: how lr falls from round to round: constant, exponential, step, inverse, inverse_sqrt
        or cosine.
    decay: factor of the exponential and step schedules; lr / (1 + decay t) is the inverse one.
    decay_every: rounds between two falls of the step schedule, or a list of those after which it
        falls, such as [50,75].
    """
    rate = lr_schedule("server", lr, schedule, decay, decay_every, rounds)
    own = VARIANTS[variant].but(beta1=beta1, tau=tau, accumulator=accumulator)

    def step(params: Tree, state: Tree, delta: Tree, t: int) -> tuple[Tree, Tree]:
        return own.move(params, state, delta, state["square"] + delta * delta, rate(t))

    return Server(own.start, step)
