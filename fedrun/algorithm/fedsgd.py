"""Federated stochastic gradient descent.

McMahan et al., "Communication-efficient learning of deep networks from decentralized data",
AISTATS 2017, section 2: FederatedAveraging with C-fraction cohorts, E = 1 and B = infinity, so that
each client computes one gradient over all it holds. With every client taking part, a round is one
full-batch gradient step of size `local.lr * server.lr` on the pooled data.
"""

from __future__ import annotations

from fedrun.algorithm.fedavg import Weights, fedavg
from fedrun.core.algorithm import Algorithm, Server
from fedrun.core.local import Local
from fedrun.core.option import ConfigError


def fedsgd(local: Local, server: Server, *, weights: Weights = None) -> Algorithm:
    """One gradient on the whole local set per client and round, averaged.

    weights: a client counts by its examples n_k (paper), or all of the cohort alike; null: by its
        examples, or as privacy asks.
    """
    work = local.work
    if work.batch_size != 0:
        raise ConfigError(
            f"algorithm=fedsgd computes one gradient on the whole local set: local.batch_size must "
            f"be 0 (it is {work.batch_size}); algorithm=fedavg takes smaller batches"
        )
    if max(work.steps, work.epochs) > 1:
        raise ConfigError(
            f"algorithm=fedsgd takes one local step a round, not {max(work.steps, work.epochs)}: "
            f"leave local.epochs and local.steps out, or take algorithm=fedavg"
        )
    return fedavg(server, weights=weights)
