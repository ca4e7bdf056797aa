"""Default of credit card clients in Taiwan (Yeh and Lien, "The comparisons of data mining
techniques for the predictive accuracy of probability of default of credit card clients", Expert
Systems with Applications 2009; UCI, CC BY 4.0), the CSV file UCI_Credit_Card.csv.

Columns: ID (dropped), LIMIT_BAL, SEX, EDUCATION, MARRIAGE, AGE, PAY_0, PAY_2 to PAY_6 (months of
delay), BILL_AMT1 to 6, PAY_AMT1 to 6 and default.payment.next.month (the target).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np

from fedrun.core.dataset import Array, Dataset, Split
from fedrun.core.option import ConfigError
from fedrun.core.preparation import Preparation
from fedrun.data._csv import Sheet, listed, read_csv
from fedrun.data._feature import ENCODED, encode, parse
from fedrun.data._given import given_file
from fedrun.data._half import drawn_halves
from fedrun.data._split import OpenFraction
from fedrun.data._target import owners, target_spec

TARGET = "default.payment.next.month"
CATEGORICAL = ("SEX", "EDUCATION", "MARRIAGE")
FEATURES = (
    *("LIMIT_BAL", "SEX", "EDUCATION", "MARRIAGE", "AGE"),
    *("PAY_0", "PAY_2", "PAY_3", "PAY_4", "PAY_5", "PAY_6"),
    *(f"BILL_AMT{month}" for month in range(1, 7)),
    *(f"PAY_AMT{month}" for month in range(1, 7)),
)
# name and lowest age
AGES = (("under_30", 0), ("30_39", 30), ("40_49", 40), ("50_59", 50), ("60_and_over", 60))
ORIGIN = "archive.ics.uci.edu/dataset/350, saved as CSV (Kaggle: default-of-credit-card-clients)"


def credit_default(
    *,
    root: str | None = None,
    encoding: Literal["onehot", "ordinal"] = "onehot",
    client: Literal["none", "education", "sex", "age"] = "none",
    normalize: Literal["train", "none"] = "train",
    test_fraction: OpenFraction = 0.2,
    split_seed: int = 0,
) -> Dataset:
    """30,000 credit card clients, 23 columns, default next month or not (22 % do).

    root: folder with UCI_Credit_Card.csv, gzip or not; never null.
    encoding: onehot makes SEX, EDUCATION and MARRIAGE indicators (33 features), ordinal leaves them
        numbers (23 features).
    client: natural owners by a column, which stays a feature: education (7 codes), sex, age (5
        bands); none leaves the rows to the partition.
    normalize: train z-scores numbers by the training rows; none leaves them.
    test_fraction: share of the rows held out, stratified, within each client (above 0, below 1).
    split_seed: draws which rows these are; apart from the run's seed.
    """
    path = given_file("credit_default", root, "UCI_Credit_Card.csv", ORIGIN)
    sheet = read_csv(path, ",")
    missing = sorted({*FEATURES, TARGET} - sheet.columns.keys())
    unknown = sorted(sheet.columns.keys() - {*FEATURES, TARGET, "ID"})
    if missing or unknown:
        what = f"lacks the column {listed(missing)}" if missing else f"has {listed(unknown)} too"
        raise ConfigError(f"{path} {what}; is it UCI_Credit_Card.csv?")
    spec, y = target_spec(f"target {TARGET!r}", _whole(sheet, TARGET), "binary")
    owner, names = _owners(sheet, client)
    train, test = drawn_halves(spec, y, owner, test_fraction, split_seed)
    numeric = {name: encoding == "ordinal" or name not in CATEGORICAL for name in FEATURES}
    x_train, x_test, features = encode(sheet, numeric, train, test, normalize)
    return Dataset(
        name="credit_default",
        spec=replace(spec, input_shape=x_train.shape[1:], classes=("paid", "default")),
        train=Split(x_train, y[train], None if owner is None else owner[train]),
        test=Split(x_test, y[test], None if owner is None else owner[test]),
        client_names=names,
        source=f"UCI default of credit card clients, {path}",
        licence="CC BY 4.0 (UCI)",
        prepared=Preparation(ENCODED, features),
    )


def _whole(sheet: Sheet, name: str) -> Array:
    """float64 [rows] without a missing value."""
    column = parse(sheet, name)
    if np.isnan(column).any():
        row = int(np.flatnonzero(np.isnan(column))[0])
        raise ConfigError(f"column {name!r} has no value at {sheet.where(row)}")
    return column


def _owners(sheet: Sheet, client: str) -> tuple[Array | None, tuple[str, ...]]:
    if client == "none":
        return None, ()
    if client == "age":
        lowest = np.array([low for _, low in AGES])
        band = np.searchsorted(lowest, _whole(sheet, "AGE"), side="right") - 1
        return band.astype(np.int64), tuple(name for name, _ in AGES)
    _whole(sheet, client.upper())
    owner, codes = owners(sheet.columns[client.upper()])
    return owner, tuple(f"{client}_{code}" for code in codes)
