"""Who takes part in each round, and how an accountant calls that."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from fedrun.core.cohort import among, cohorts, cyclic, lots, poisson, shuffled
from fedrun.core.dataset import Array
from fedrun.core.option import ConfigError
from fedrun.core.partition import Partition
from fedrun.core.privacy import Sampling, Streams
from fedrun.core.random import generator
from fedrun.experiment.settings import Settings


def sampling_of(settings: Settings, population: int) -> Sampling | None:
    """How the clients of a round are drawn; None where that depends on what they hold."""
    sampling, asked = settings.clients.sampling, settings.clients.per_round
    if sampling == "size":
        return None
    size: float = cohort_size(settings, population)
    if sampling == "poisson":
        size = asked * population if isinstance(asked, float) else asked
        return Sampling(scheme="poisson", population=population, cohort=size)
    if size == population:
        return Sampling(scheme="full", population=population, cohort=size)
    scheme = "fixed" if sampling == "uniform" else sampling
    return Sampling(scheme=scheme, population=population, cohort=size)


def drawn_cohorts(
    settings: Settings, seen: Array, partition: Partition, streams: Streams | None = None
) -> Callable[[int], Array]:
    """(round) -> int64, ascending: who takes part.

    streams: where secret lots and coins come from; None draws them from the seed.
    """
    size, sampling = cohort_size(settings, len(seen)), settings.clients.sampling
    everybody, count = np.array_equal(seen, np.arange(len(partition))), len(seen)

    def coins(round: int) -> Array:
        if streams:
            return streams("cohort", round, 0).uniform(count)
        return generator(settings.seed, "cohort", round).random(count)

    asked = settings.clients.per_round
    rate = asked if isinstance(asked, float) else asked / count
    if sampling != "uniform" and (rate == 1 if sampling == "poisson" else size == count):
        raise ConfigError(
            f"clients.sampling={sampling} has no effect while all {size} clients take part in "
            f"every round; set clients.per_round"
        )
    if sampling == "poisson":
        places = poisson(count, rate, coins)
    elif sampling == "shuffled":
        places = shuffled(settings.seed, count, size)
    elif sampling == "cyclic":
        places = cyclic(count, size)
    elif streams and size < count:
        places = lots(count, size, coins)
    else:
        weights = partition.train.sizes[seen].astype(float) if sampling == "size" else None
        places = cohorts(settings.seed, count, size, weights)
    return places if everybody else among(seen, places)


def cohort_size(settings: Settings, num_clients: int) -> int:
    """Clients of a round: the number asked for, or the fraction rounded, at least 1."""
    asked = settings.clients.per_round
    if isinstance(asked, float):
        return max(1, round(asked * num_clients))
    if asked > num_clients:
        raise ConfigError(
            f"clients.per_round={asked} is more than the {num_clients} clients there are; "
            f"take at most {num_clients}, or a fraction such as 0.5"
        )
    return asked


def seen_clients(settings: Settings, count: int) -> Array:
    """int64, ascending: all clients but those that are never to take part."""
    unseen, everybody = settings.clients.unseen, np.arange(count, dtype=np.int64)
    if isinstance(unseen, list):
        beyond = [number for number in unseen if number >= count]
        if beyond:
            raise ConfigError(
                f"clients.unseen={unseen} names client {beyond[0]}, and the {count} clients are "
                f"numbered from 0"
            )
        seen = np.setdiff1d(everybody, unseen)
    else:
        hidden = max(1, round(unseen * count)) if unseen else 0
        seen = np.sort(generator(settings.seed, "unseen").permutation(count)[hidden:])
    if not len(seen):
        raise ConfigError(f"clients.unseen={unseen} of {count} clients leaves nobody to train")
    return seen
