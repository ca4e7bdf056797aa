"""SCAFFOLD: stochastic controlled averaging.

Karimireddy, Kale, Mohri, Reddi, Stich, Suresh, "SCAFFOLD: stochastic controlled averaging for
federated learning", ICML 2020, algorithm 1 with option II or I for the control variates:

    I:  c_i+ = grad F_i(x)        II:  c_i+ = c_i - c + (x - y_i) / (K eta_l)

| symbol | name |
| --- | --- |
| x | model |
| y_i | trained.params |
| c | control, the server's |
| c_i | own, client i's; kept between rounds, also while it is not sampled |
| K eta_l | trained.displacement |
| eta_g | server.lr |

Option I costs a gradient over all that a client holds and reads nothing off the local steps, so any
local optimiser may take them; it leaves weight decay, which is exact at every step, out.

Differs: with local momentum rho the paper's c_i+ = c_i - c + (x - y_i) / (K eta_l) would be about
1 / (1 - rho) too large; here K eta_l is the true total weight of the K gradients in x - y_i
(FedNova's |a|_1), which is K eta_l when rho = 0. With weight decay the control variates average the
gradients of the regularized loss. Clients count alike, as in the paper; with `weights=examples`
models and controls are both weighted by n_k, as in FLamby's.

`variant=niid_bench` is the SCAFFOLD of NIID-Bench (Li et al., ICDE 2022) and of Flower's
reproduction of it: c_i+ = c_i - c + (x - y_i) / (K eta_l) with momentum too, so that every control
is up to 1 / (1 - rho) times a mean gradient; c - c_i is taken off behind the momentum step, where
it is not multiplied up again; and the models, but not the controls, are weighted by n_k. Differs: a
local solver knows a drift only before the momentum, so (1 - rho) (c - c_i) is given to it there:
the same way per step once the momentum has built up, and at the end of K steps short of K ways by
rho (1 - rho^K) / (1 - rho), which the control is told. Without momentum it is theirs exactly; with
rho = 0.9 it falls short by 29 % in rounds of 30 steps and by 1 % in rounds of 900, as theirs are.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import torch

from fedrun.algorithm.fedavg import client_weights, fedavg
from fedrun.core.algorithm import Algorithm, Clients, Reply, Round, Server
from fedrun.core.local import Local
from fedrun.core.option import ConfigError
from fedrun.core.tree import Tree, per_client


def scaffold(
    local: Local,
    server: Server,
    *,
    option: Literal[1, 2] = 2,
    weights: Literal["examples", "uniform"] = "uniform",
    variant: Literal["paper", "niid_bench"] = "paper",
) -> Algorithm:
    """Control variates cancel the drift between clients, for twice the traffic.

    option: how a client renews its control: its gradient at the model it was sent (1), or what its
        local steps tell, for nothing (2, as in the paper's experiments).
    weights: a client counts by its examples n_k, or all of the cohort alike (paper).
    variant: paper, or as the tables of NIID-Bench were made (niid_bench: controls grow with the
        local momentum, clients count by their examples).
    """
    if option == 1 and variant == "niid_bench":
        raise ConfigError(
            "algorithm.variant=niid_bench has the controls of option 2; leave algorithm.option=1 "
            "out, or take algorithm.variant=paper"
        )
    if weights == "examples" and variant == "niid_bench":
        raise ConfigError(
            "algorithm.variant=niid_bench weighs models by examples and controls alike; leave "
            "algorithm.weights out, or take algorithm.variant=paper"
        )
    if option == 2 and local.displacement is None:
        raise ConfigError(
            f"algorithm=scaffold reads its control variates off plain SGD steps and does not work "
            f"with local={local.name}; take local=sgd, or algorithm.option=1"
        )
    if option == 2 and local.clip_norm is not None:
        raise ConfigError(
            f"algorithm=scaffold reads its control variates off the local steps, which "
            f"local.clip_norm={local.clip_norm:g} would shorten; leave it out, or take "
            f"algorithm.option=1"
        )
    if variant == "niid_bench" and local.sgd is None:
        raise ConfigError(
            f"algorithm.variant=niid_bench knows the momentum of local=sgd only, and this is "
            f"local={local.name}; take algorithm.variant=paper"
        )
    momentum = local.sgd.momentum if local.sgd else 0.0
    average = fedavg(server, weights=weights)

    def client_update(clients: Clients, message: Tree) -> Reply:
        model, control, own = message["model"], message["control"], clients.state["control"]
        trained = clients.solve(model, drift=control - own)
        update = trained.params - model
        if option == 1:
            renewed = clients.gradient(model)[1]
        else:
            renewed = own - control - per_client(update, 1 / trained.displacement)
        return Reply(
            update=Tree(model=update, control=renewed - own),
            weight=client_weights(clients, weights),
            trained=trained,
            state=Tree(control=renewed),
        )

    def as_niid_bench(clients: Clients, message: Tree) -> Reply:
        model, control, own = message["model"], message["control"], clients.state["control"]
        drift = (1 - momentum) * (control - own)
        trained = clients.solve(model, drift=drift)
        assert trained.weigh is not None
        way = trained.steps * trained.weigh(torch.ones(1, dtype=torch.float64))  # K eta_l
        update = trained.params - model
        renewed = -1 * per_client(update, 1 / way) - per_client(drift, trained.displacement / way)
        # Weighting by n_k is undone for the controls: `share` is what it leaves of a plain mean.
        share = 1 / clients.examples
        return Reply(
            update=Tree(model=update, control=per_client(renewed - own, share), share=share),
            weight=clients.examples,
            trained=trained,
            state=Tree(control=renewed),
        )

    def server_update(state: Tree, mean: Tree, round: Round) -> Tree:
        moved = mean["control"] / mean["share"] if "share" in mean else mean["control"]
        control = state["control"] + (round.accepted / round.population) * moved
        return Tree(average.server_update(state, mean, round), control=control)

    return replace(
        average,
        client_update=client_update if variant == "paper" else as_niid_bench,
        server_update=server_update,
        server_init=lambda params: Tree(average.server_init(params), control=params.zeros()),
        message=lambda state: Tree(model=state["model"], control=state["control"]),
        client_init=lambda params: Tree(control=params.zeros()),
        gradients=option == 1,
        reads_data=option == 1,
        divides=variant == "niid_bench",
    )
