"""FedAvgM: averaging with momentum at the server.

Hsu, Qi, Brown, "Measuring the effects of non-identical data distribution for federated visual
classification", 2019, section 3: v <- beta v + Delta; x <- x + v. The server's rule stands in
`fedrun/server/sgd.py`; this choice sets `server.momentum`, and with 0 it is FedAvg.

| symbol | name |
| --- | --- |
| x_t, the global model | model |
| Delta_i, what client i sends | update |
| beta | server.momentum |
| server learning rate | server.lr |
"""

from __future__ import annotations

from fedrun.algorithm._server import stepping
from fedrun.algorithm.fedavg import Weights, fedavg
from fedrun.core.algorithm import Algorithm, Server


def fedavgm(server: Server, *, weights: Weights = None) -> Algorithm:
    """FedAvg whose server keeps a momentum.

    weights: a client counts by its examples n_k (paper), or all of the cohort alike; null: by its
        examples, or as privacy asks.
    """
    return fedavg(stepping("fedavgm", server, "sgd"), weights=weights)
