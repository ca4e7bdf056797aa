"""FedYogi: Yogi at the server.

Reddi, Charles, Zaheer, Garrett, Rush, Konecny, Kumar, McMahan, "Adaptive federated optimization",
ICLR 2021, algorithm 2. The server's rule, its variants and what they start from stand in
`fedrun/server/yogi.py`; this choice takes `server=yogi` along.

| symbol | name |
| --- | --- |
| x_t, the global model | model |
| Delta_i, what client i sends | update |
| eta, beta_1, beta_2, tau | server.lr, server.beta1, server.beta2, server.tau |
"""

from __future__ import annotations

from fedrun.algorithm._server import stepping
from fedrun.algorithm.fedavg import Weights, fedavg
from fedrun.core.algorithm import Algorithm, Server


def fedyogi(server: Server, *, weights: Weights = None) -> Algorithm:
    """FedAvg whose server takes Yogi steps.

    weights: a client counts by its examples n_k (paper), or all of the cohort alike; null: by its
        examples, or as privacy asks.
    """
    return fedavg(stepping("fedyogi", server, "yogi"), weights=weights)
