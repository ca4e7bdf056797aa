"""What holds for every rule that says who holds what."""

import re
from collections.abc import Callable
from importlib import import_module

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedrun.core.dataset import Dataset, Spec, Split
from fedrun.core.option import ConfigError
from fedrun.core.partition import Partition
from fedrun.core.random import generator
from fedrun.experiment.choices import choices

RULES = [rule for rule in choices("partition") if rule != "file"]  # draws nothing of its own
LEAVES_ROWS_OUT = {"dirichlet_fixed", "quantity_power"}
VARIANTS = {
    "classes": [{"assign": "flower_deterministic", "classes_per_client": 1}],
    "dirichlet_client": [{"size_sigma": 1.0}],
    "feature_noise": [{"test": "own"}, {"test": "clean"}],
    "label_swap": [{"swap": "shift", "groups": 3}, {"copies": True}],
    "natural": [{"least": 4}, {"take": 3}],
    "mixed": [{"alpha": None, "sigma": 1.0, "min_examples": 1}],
    "rotation": [{"copies": True}],
}
FEW = {"min_examples": 2}  # with the default's 10 most cases are refused, after a million draws
BASE = {"quantity_dirichlet": FEW, "quantity_lognormal": FEW}
CASES = [(rule, more) for rule in RULES for more in [BASE.get(rule, {}), *VARIANTS.get(rule, [])]]


def images(rows: int, test_rows: int, classes: int, owners: int) -> Dataset:
    """Tiny random images, each label with the same number of rows or one more."""
    draw = np.random.default_rng(rows)

    def split(count: int) -> Split:
        label = draw.permutation(np.arange(count) % classes).astype(np.int64)
        x = draw.standard_normal((count, 1, 3, 3)).astype(np.float32)
        return Split(x, label, draw.integers(owners, size=count))

    spec = Spec((1, 3, 3), classes, "classes", tuple(map(str, range(classes))))
    return Dataset("toy", spec, split(rows), split(test_rows))


def made(rule: str, dataset: Dataset, count: int, seed: int, **options: object) -> Partition:
    factory: Callable = getattr(import_module(f"fedrun.partition.{rule}"), rule)
    count_or_null = None if rule == "natural" else count
    return factory(dataset, count_or_null, generator(seed, "partition"), **options)


@pytest.mark.parametrize(("rule", "options"), CASES)
@settings(max_examples=30, deadline=None)
@given(
    rows=st.integers(1, 400),
    test_rows=st.integers(1, 60),
    classes=st.integers(1, 12),
    count=st.integers(1, 40),
    seed=st.integers(0, 10**6),
)
def test_disjoint_covering_the_same_again_or_refused(
    rule, options, rows, test_rows, classes, count, seed
):
    dataset = images(rows, test_rows, classes, count)
    before = dataset.fingerprint
    try:
        partition = made(rule, dataset, count, seed, **options)
    except ConfigError as refusal:
        lines = str(refusal).splitlines()
        assert 1 <= len(lines) <= 2
        assert re.search(r"(clients|partition)\.\w+", lines[0])
        return
    again = made(rule, images(rows, test_rows, classes, count), count, seed, **options)
    seen = partition.data or dataset
    assert re.fullmatch(r"[a-z_]+/[a-z_]+@[1-9]\d*", partition.rule)
    assert again.fingerprint == partition.fingerprint
    assert (again.data or dataset).fingerprint == seen.fingerprint
    assert len(partition) == len(partition.names) == len(partition.test)
    if rule != "natural":
        assert len(partition) == count
    assert partition.train.sizes.min() >= 1
    for held, split in ((partition.train, seen.train), (partition.test, seen.test)):
        assert held.rows.dtype == held.offsets.dtype == np.int64
        assert len(np.unique(held.rows)) == len(held.rows)
        assert held.rows.min(initial=0) >= 0
        assert held.rows.max(initial=0) < len(split)
        assert all((np.diff(held[client]) > 0).all() for client in range(len(held)))
    leaves_out = rule in LEAVES_ROWS_OUT or str(options.get("assign", "")).startswith("flower")
    leaves_out |= rule == "natural" and options != {}
    assert leaves_out or len(partition.train.rows) == len(seen.train)
    assert dataset.fingerprint == before
    if partition.groups is not None:
        assert partition.groups.dtype == np.int64
        assert len(partition.groups) == count
        assert (np.unique(partition.groups) == np.arange(partition.groups.max() + 1)).all()


@pytest.mark.parametrize("rule", RULES)
def test_the_seed_decides_and_nothing_else_is_drawn_from(rule):
    dataset = images(400, 40, 4, 8)
    prints = {
        (partition.fingerprint, (partition.data or dataset).fingerprint)
        for partition in (made(rule, dataset, 8, seed) for seed in range(3))
    }
    assert len(prints) == (1 if rule == "natural" else 3)


@pytest.mark.parametrize(
    "rule", [rule for rule in RULES if rule not in ("natural", "dirichlet_fixed")]
)
def test_a_count_that_is_null_is_refused(rule):
    factory = getattr(import_module(f"fedrun.partition.{rule}"), rule)
    with pytest.raises(ConfigError, match=r"needs clients\.count, which is null"):
        factory(images(50, 5, 2, 2), None, generator(0, "partition"))
