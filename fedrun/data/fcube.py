"""FCUBE (Li, Diao, Chen and He, "Federated learning on non-IID data silos: an experimental study",
ICDE 2022; arXiv:2102.02079): a cube whose label is a plane and whose parties are its octants.

Points lie in [-1, 1]^3, class 0 where x1 > 0 and class 1 else. Party j = 2a + b of four holds the
octant x1 > 0 with x2 < 0 where a, x3 < 0 where b, and the octant opposite to it: every party sees
both classes in equal number and its own part of the inputs. Training rows stand party by party,
classes in turn; test points are uniform in the whole cube. `partition=natural` is the paper's FCUBE
partition, `partition=iid` its `homo`.

Differs: the authors draw with Python's global generator; here `seed` fixes the draw. They give test
points no party; here a point belongs to the party whose octants it lies in, for per-client scores.
"""

from __future__ import annotations

import numpy as np

from fedrun.core.dataset import Array, Dataset, Spec, Split
from fedrun.core.option import Annotated, ConfigError, Count, at_least
from fedrun.core.preparation import Preparation
from fedrun.data._random import generator

PARTIES = 4


def fcube(
    *,
    examples: Annotated[int, at_least(2 * PARTIES)] = 4000,
    test_examples: Count = 1000,
    seed: int = 0,
) -> Dataset:
    """Points of a cube, 3 numbers, 2 classes; four parties of two opposite octants each.

    examples: training points, a multiple of 8: as many for each octant (paper's code: 4,000).
    test_examples: test points, uniform in the cube (at least 1; paper's code: 1,000).
    seed: draws everything; apart from the run's seed.
    """
    if examples % (2 * PARTIES):
        near = 2 * PARTIES * round(examples / (2 * PARTIES))
        raise ConfigError(
            f"data.examples={examples} is not a multiple of 8, the number of octants; {near} is"
        )
    draw = generator(seed, "fcube")
    party = np.repeat(np.arange(PARTIES, dtype=np.int64), examples // PARTIES)
    y = np.arange(examples, dtype=np.int64) % 2
    sign = np.stack([np.ones(examples), 1 - 2 * (party // 2), 1 - 2 * (party % 2)], axis=1)
    x = draw.random((examples, 3)) * sign * (1 - 2 * y[:, None])
    x_test = draw.random((test_examples, 3)) * 2 - 1
    return Dataset(
        name="fcube",
        spec=Spec(input_shape=(3,), outputs=2, kind="classes", classes=("0", "1")),
        train=Split(x.astype(np.float32), y, party),
        test=Split(x_test.astype(np.float32), (x_test[:, 0] <= 0).astype(np.int64), _party(x_test)),
        client_names=tuple(f"octants_{party}" for party in range(PARTIES)),
        source=f"generated: FCUBE, seed {seed}",
        prepared=Preparation("as generated"),
    )


def _party(x: Array) -> Array:
    """int64 [N]: the party whose octants a point lies in."""
    facing = np.where(x[:, :1] > 0, x, -x)
    return (2 * (facing[:, 1] < 0) + (facing[:, 2] < 0)).astype(np.int64)
