"""The convex example of FedDyn (Acar, Zhao, Matas, Mattina, Whatmough and Saligrama, "Federated
learning based on dynamic regularization", ICLR 2021), as the authors' generator draws it.

Per client k: n = int(LogNormal(log(examples + 0.001), size_sd)) rows; B ~ N(0, beta);
v [features] ~ N(B, 1), or 0 with `iid_inputs`; x ~ N(v, diag(j ** -1.2)), j = 1..features;
W [features, classes] and b [classes] ~ N(0, 1), its own or, with `iid_rule`, one for all;
y = argmax(x W + b). The test set is the training rows of all clients, as there: the example asks
how far the training loss falls. Multinomial logistic regression on it is convex.

Differs: the authors' alpha (the mean of W and b) adds the same to all scores of a row, so it
changes no label and is no option. They draw unseeded; here `seed` fixes the draw.
"""

from __future__ import annotations

import math
from typing import Annotated

import numpy as np

from fedrun.core.dataset import Dataset, Spec, Split
from fedrun.core.option import ConfigError, Count, at_least, between
from fedrun.core.preparation import Preparation
from fedrun.data._given import refuse_ineffective
from fedrun.data._random import generator


def feddyn_synthetic(
    *,
    clients: Count = 20,
    features: Count = 30,
    classes: Annotated[int, at_least(2)] = 5,
    examples: Count = 200,
    size_sd: Annotated[float, between(0, 5)] = 0.0,
    beta: Annotated[float, at_least(0)] = 0.0,
    iid_rule: bool = True,
    iid_inputs: bool = True,
    seed: int = 0,
) -> Dataset:
    """FedDyn's generated clients for a convex model; the test set is the training rows.

    clients: natural clients (at least 1; authors: 20).
    features: numbers per row (at least 1; authors: 30).
    classes: number of classes (at least 2; authors: 5).
    examples: median rows of a client (at least 1; authors: 200).
    size_sd: sd of the log of a client's rows (0 to 5; authors: 0, all alike).
    beta: sd of the clients' inputs around each other, with iid_inputs=false (at least 0).
    iid_rule: one labelling rule for all; false draws one for each client.
    iid_inputs: one input distribution for all; false gives each client a centre of its own.
    seed: draws everything; apart from the run's seed.
    """
    if iid_inputs:
        refuse_ineffective("data.iid_inputs=true", {"beta": (beta, 0.0)})
    draw = generator(seed, "feddyn_synthetic")
    sizes = draw.lognormal(math.log(examples + 1e-3), size_sd, clients).astype(np.int64)
    if not sizes.any():
        raise ConfigError(f"data.examples={examples} leaves no client a row; make it larger")
    centre = np.zeros((clients, features))
    if not iid_inputs:
        centre = draw.normal(draw.normal(0, beta, clients)[:, None], 1, (clients, features))
    deviation = np.arange(1, features + 1) ** -0.6
    weight, bias = draw.normal(size=(features, classes)), draw.normal(size=classes)
    parts = []
    for client, rows in enumerate(sizes.tolist()):
        if not iid_rule:
            weight, bias = draw.normal(size=(features, classes)), draw.normal(size=classes)
        x = centre[client] + deviation * draw.standard_normal((rows, features))
        parts.append((x.astype(np.float32), np.argmax(x @ weight + bias, axis=1)))
    split = Split(
        np.concatenate([x for x, _ in parts]),
        np.concatenate([y for _, y in parts]).astype(np.int64),
        np.repeat(np.arange(clients, dtype=np.int64), sizes),
    )
    return Dataset(
        name="feddyn_synthetic",
        spec=Spec((features,), classes, "classes", tuple(map(str, range(classes)))),
        train=split,
        test=split,
        client_names=tuple(f"client_{client:03d}" for client in range(clients)),
        source=f"generated: FedDyn's synthetic example, {clients} clients, seed {seed}",
        prepared=Preparation("as generated"),
    )
