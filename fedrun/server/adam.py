"""Adam at the server: what makes FedAvg into FedAdam.

Reddi, Charles, Zaheer, Garrett, Rush, Konecny, Kumar, McMahan, "Adaptive federated optimization",
ICLR 2021, algorithm 2 (FedAdam).

    m <- beta1 m + (1 - beta1) delta
    v <- beta2 v + (1 - beta2) delta^2
    x <- x + lr m / (sqrt(v) + tau)

| symbol | name |
| --- | --- |
| Delta_t, the mean update, which points downhill | delta |
| m_t, v_t | mean, square |
| eta (server), beta_1, beta_2, tau | lr, beta1, beta2, tau |

| variant | beta1 | beta2 | tau | first v | bias |
| --- | --- | --- | --- | --- | --- |
| paper | 0.9 | 0.99 | 1e-3 | tau^2 | stays |
| keras (`keras.optimizers.Adam`) | 0.9 | 0.999 | 1e-7 | 0 | corrected |
| flamby (as FLamby ran Fed-Heart-Disease) | 0.9 | 0.999 | 1e-8 | 0 | stays |

Corrected: step n = 1, 2, ... has the rate lr sqrt(1 - beta2^n) / (1 - beta1^n). Keras' tau is its
`epsilon`, added to the uncorrected root: the "epsilon hat" of Kingma and Ba. FLamby's classes have
tau 1e-3 by default; its published runs set 1e-8.
"""

from __future__ import annotations

from typing import Annotated, Literal

from fedrun.core.algorithm import Server
from fedrun.core.option import above, at_least, between
from fedrun.core.schedule import Falls, Kind, lr_schedule
from fedrun.core.tree import Tree
from fedrun.server._adaptive import Variant

VARIANTS = {
    "paper": Variant(beta1=0.9, beta2=0.99, tau=1e-3, accumulator=None),
    "keras": Variant(beta1=0.9, beta2=0.999, tau=1e-7, accumulator=0.0, corrected=True),
    "flamby": Variant(beta1=0.9, beta2=0.999, tau=1e-8, accumulator=0.0),
}


def adam(
    rounds: int,
    *,
    lr: Annotated[float, above(0)] = 0.01,
    variant: Literal["paper", "keras", "flamby"] = "paper",
    beta1: Annotated[float, between(0, 1, open_high=True)] | None = None,
    beta2: Annotated[float, between(0, 1, open_high=True)] | None = None,
    tau: Annotated[float, above(0)] | None = None,
    accumulator: Annotated[float, at_least(0)] | None = None,
    schedule: Kind = "constant",
    decay: Annotated[float, between(0, 1, open_low=True)] = 1.0,
    decay_every: Falls = 1,
) -> Server:
    """The server takes Adam steps along the mean update (FedAdam).

    lr: step size (paper: 10^-2.5 for EMNIST to 1 for CIFAR-100; FLamby: 0.01).
    variant: paper starts v at tau^2 and corrects no bias; keras corrects it; flamby has other
        numbers and starts v at 0.
    beta1: memory of the mean; null: the variant's, 0.9 in all.
    beta2: memory of the square; null: the variant's (paper: 0.99; keras, flamby: 0.999).
    tau: added to the root, the smaller the more adaptive; null: the variant's (paper: 1e-3; keras:
        1e-7; flamby: 1e-8).
    accumulator: v before the first step; null: the variant's (paper: tau^2; keras, flamby: 0).
    schedule: how lr falls from round to round: constant, exponential, step, inverse, inverse_sqrt
        or cosine.
    decay: factor of the exponential and step schedules; lr / (1 + decay t) is the inverse one.
    decay_every: rounds between two falls of the step schedule, or a list of those after which it
        falls, such as [50,75].
    """
    rate = lr_schedule("server", lr, schedule, decay, decay_every, rounds)
    own = VARIANTS[variant].but(beta1=beta1, beta2=beta2, tau=tau, accumulator=accumulator)

    def step(params: Tree, state: Tree, delta: Tree, t: int) -> tuple[Tree, Tree]:
        square = own.beta2 * state["square"] + (1 - own.beta2) * (delta * delta)
        return own.move(params, state, delta, square, rate(t))

    return Server(own.start, step)
