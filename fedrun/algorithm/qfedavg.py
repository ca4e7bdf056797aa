"""q-FedAvg, the solver of q-FFL (q-fair federated learning).

Li, Sanjabi, Beirami, Smith, "Fair resource allocation in federated learning", ICLR 2020, algorithm
2: it minimises sum_k p_k F_k(w)^(q+1) / (q + 1), so that clients with a high loss count more.

    Delta_k = F_k(x)^q L (x - w_k);   h_k = q F_k(x)^(q-1) |L (x - w_k)|^2 + L F_k(x)^q
    x <- x - sum_k Delta_k / sum_k h_k

| symbol | name |
| --- | --- |
| x | model |
| w_k | trained.params |
| F_k(x), over all that client k holds | loss |
| L (x - w_k) | -way |
| Delta_k, h_k | -update, curvature |
| q | q |
| L, 1 / local.lr where not given | lipschitz |

Clients of a cohort count alike: p_k is how often they are drawn (paper: `clients.sampling=size`).
As in the authors' code 1e-10 is added to the loss, whose power q - 1 may be negative.

Powers of the loss are sent in float32: where F_k^q leaves 1e-38 to 1e38, so does the update, and
the client is rejected or counts for nothing.

Limit: q = 0 is FedAvg with `algorithm.weights=uniform`, whatever L is.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import torch

from fedrun.algorithm.fedavg import fedavg
from fedrun.core.algorithm import Algorithm, Clients, Reply, Round, Server
from fedrun.core.local import Local
from fedrun.core.option import ConfigError, above, at_least
from fedrun.core.tree import Tree, per_client, squared_norm


def qfedavg(
    local: Local,
    server: Server,
    *,
    q: Annotated[float, at_least(0)] = 1.0,
    lipschitz: Annotated[float, above(0)] | None = None,
) -> Algorithm:
    """Clients with a high loss count more, which evens out how well the model serves them.

    q: how much fairness counts (paper: 0.001 to 15; 0 is FedAvg, a large q is the worst case).
    lipschitz: the paper's L, which sets the length of the server's step for q above 0; null: 1 /
        local.lr (paper).
    """
    if lipschitz is None and local.displacement is None:
        raise ConfigError(
            f"algorithm=qfedavg takes 1 / local.lr for the curvature of the loss, which does not "
            f"work with local={local.name}; take local=sgd, or give algorithm.lipschitz"
        )
    average = fedavg(server, weights="uniform")

    def client_update(clients: Clients, message: Tree) -> Reply:
        model = message["model"]
        trained = clients.solve(model)
        bound = lipschitz
        if bound is None:
            assert trained.weigh is not None
            bound = 1 / trained.weigh(torch.ones(1, dtype=torch.float64)).item()
        way = bound * (trained.params - model)
        if q:
            loss = clients.loss(model) + 1e-10
        else:
            loss = torch.ones(len(clients.number), dtype=torch.float64)
        curvature = q * loss ** (q - 1) * squared_norm(way).to(loss) + bound * loss**q
        return Reply(
            update=Tree(model=per_client(way, loss**q), curvature=curvature.to(next(way.leaves()))),
            weight=torch.ones_like(clients.examples),
            trained=trained,
            state=clients.state,
        )

    def server_update(state: Tree, mean: Tree, round: Round) -> Tree:
        return average.server_update(state, Tree(model=mean["model"] / mean["curvature"]), round)

    return replace(
        average,
        client_update=client_update,
        server_update=server_update,
        reads_data=True,
        divides=True,
    )
