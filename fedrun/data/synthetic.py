"""Synthetic(alpha, beta) of FedProx (Li et al., "Federated optimization in heterogeneous networks",
MLSys 2020, section 5.1; arXiv:1812.06127), as the authors' generator draws it.

Per device k: n ~ int(LogNormal(4, 2)) + 50 rows; u ~ N(0, alpha), B ~ N(0, beta);
W [60, 10] and b [10] ~ N(u, 1); v [60] ~ N(B, 1); x ~ N(v, diag(j ** -1.2)), j = 1..60;
y = argmax(softmax(x W + b)). The first int(0.9 n) rows train, the rest are the device's test rows.
With `iid`, one W, b ~ N(0, 1) serves all devices and v = 0.

q-FFL (Li, Sanjabi, Beirami and Smith, ICLR 2020) takes the same with 100 devices and tells of 127
rows each (sd 73): `devices=100 size_sd=0.8`, and an 80/10/10 split: `validation_fraction=0.1`, rows
between training and test rows that serve nobody here. Its committed code has LogNormal(4, 2) and
90/10, which does not give these sizes.

u adds the same amount, u (sum(x) + 1), to all ten scores of a row, so in this generator alpha
changes no label: devices differ because each draws its own W and b, with alpha = 0 too.

Differs: alpha and beta are standard deviations, as in the authors' generator (the paper writes
N(0, alpha), which reads as a variance; 0 and 1 are the same either way). The authors draw unseeded;
here `seed` fixes the draw. They shuffle a device's rows before the split; rows are drawn
independently, so ours need no shuffle. argmax is taken of the scores, where exp cannot overflow.
"""

from __future__ import annotations

import numpy as np

from fedrun.core.dataset import Array, Dataset, Spec, Split
from fedrun.core.option import Annotated, ConfigError, Count, at_least, between
from fedrun.core.preparation import Preparation
from fedrun.data._random import generator
from fedrun.data._split import OpenFraction

FEATURES, CLASSES = 60, 10


def synthetic(
    *,
    alpha: Annotated[float, at_least(0)] = 1.0,
    beta: Annotated[float, at_least(0)] = 1.0,
    iid: bool = False,
    devices: Count = 30,
    size_mean: Annotated[float, between(-10, 10)] = 4.0,
    size_sd: Annotated[float, between(0, 5)] = 2.0,
    test_fraction: OpenFraction = 0.1,
    validation_fraction: Annotated[float, between(0, 1, open_high=True)] = 0.0,
    seed: int = 0,
) -> Dataset:
    """FedProx's generated devices, each with its own labelling rule and its own inputs.

    alpha: sd of the means of the devices' labelling rules (at least 0; paper: 0, 0.5, 1); as
        published it shifts all scores of a row alike and so changes no label.
    beta: sd of the devices' inputs around each other (at least 0; paper: 0, 0.5, 1).
    iid: one rule and one input distribution for all; alpha and beta then stay as they are or 0.
    devices: number of devices, each a natural client (at least 1; paper: 30).
    size_mean: mean of the log of a device's rows beyond 50 (-10 to 10; paper: 4).
    size_sd: sd of that log (0 to 5; paper: 2; q-FFL's sizes: 0.8).
    test_fraction: share of each device's rows, its last, that test (above 0, below 1; paper: 0.1).
    validation_fraction: share that is left out before them (0 to below 1; q-FFL: 0.1).
    seed: draws everything; apart from the run's seed.
    """
    left = 1 - test_fraction - validation_fraction
    if left * 50 < 1:  # the smallest device has 50 rows
        raise ConfigError(
            f"data.test_fraction={test_fraction:g} and data.validation_fraction="
            f"{validation_fraction:g} leave no training rows; make them smaller"
        )
    for key, value in (("alpha", alpha), ("beta", beta)):
        if iid and value not in (0.0, 1.0):
            raise ConfigError(
                f"data.{key}={value:g} has no effect with data.iid=true; leave it out, or set"
                " data.iid=false"
            )
    draw = generator(seed, "synthetic")
    sizes = draw.lognormal(size_mean, size_sd, devices).astype(np.int64) + 50
    drawn = _iid(draw, sizes) if iid else _devices(draw, sizes, alpha, beta)
    cuts = (left * sizes).astype(np.int64)
    tests = ((1 - test_fraction) * sizes).astype(np.int64)
    names = tuple(f"f_{device:05d}" for device in range(devices))
    classes = tuple(str(k) for k in range(CLASSES))
    return Dataset(
        name="synthetic",
        spec=Spec(input_shape=(FEATURES,), outputs=CLASSES, kind="classes", classes=classes),
        train=_join([(x[:cut], y[:cut]) for (x, y), cut in zip(drawn, cuts, strict=True)]),
        test=_join([(x[cut:], y[cut:]) for (x, y), cut in zip(drawn, tests, strict=True)]),
        client_names=names,
        source=f"generated: FedProx synthetic, {'iid' if iid else f'({alpha:g}, {beta:g})'},"
        f" {devices} devices, seed {seed}",
        prepared=Preparation("as generated"),
    )


Rows = tuple[Array, Array]


def _devices(draw: np.random.Generator, sizes: Array, alpha: float, beta: float) -> list[Rows]:
    u = draw.normal(0, alpha, len(sizes))
    centre = draw.normal(0, beta, len(sizes))
    v = draw.normal(centre[:, None], 1, (len(sizes), FEATURES))
    drawn = []
    for device, rows in enumerate(sizes):
        weight = draw.normal(u[device], 1, (FEATURES, CLASSES))
        bias = draw.normal(u[device], 1, CLASSES)
        drawn.append(_label(draw, v[device], weight, bias, rows))
    return drawn


def _iid(draw: np.random.Generator, sizes: Array) -> list[Rows]:
    weight = draw.normal(0, 1, (FEATURES, CLASSES))
    bias = draw.normal(0, 1, CLASSES)
    return [_label(draw, np.zeros(FEATURES), weight, bias, rows) for rows in sizes]


def _label(draw: np.random.Generator, mean: Array, weight: Array, bias: Array, rows: int) -> Rows:
    deviation = np.arange(1, FEATURES + 1) ** -0.6
    x = mean + deviation * draw.standard_normal((rows, FEATURES))
    y = np.argmax(x @ weight + bias, axis=1)
    return x.astype(np.float32), y.astype(np.int64)


def _join(parts: list[Rows]) -> Split:
    client = np.repeat(np.arange(len(parts), dtype=np.int64), [len(y) for _, y in parts])
    return Split(
        np.concatenate([x for x, _ in parts]), np.concatenate([y for _, y in parts]), client
    )
