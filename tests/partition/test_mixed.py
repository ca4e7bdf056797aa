import numpy as np
import pytest

from fedrun.core.option import ConfigError
from fedrun.core.random import generator
from fedrun.partition import mixed as module
from fedrun.partition.mixed import mixed


def test_each_class_is_cut_at_its_owners_weights_by_hand(labelled, monkeypatch):
    # All own both classes; weights 1:2:5 of 16 and of 8 rows.
    monkeypatch.setattr(module, "share", lambda count, alpha, draw: np.array([0.2, 0.4, 1.0]))
    dataset = labelled([0] * 16 + [1] * 8)
    partition = mixed(dataset, 3, generator(0, "partition"), min_examples=3)
    assert partition.counts(dataset.train, dataset.spec).tolist() == [[2, 1], [4, 2], [10, 5]]
    assert partition.rule == "mixed/classes_dirichlet@1"
    told = (
        r"more than 3 rows, and partition.min_examples asks for 4; take a larger partition.alpha "
        r"\(now 0.5\), fewer clients \(now 3\) or a smaller partition.min_examples$"
    )
    with pytest.raises(ConfigError, match=told):
        mixed(dataset, 3, generator(0, "partition"), min_examples=4)
    monkeypatch.setattr(module, "log_normal", lambda count, sigma, draw: np.array([0.2, 0.4, 1.0]))
    with pytest.raises(ConfigError, match=r"take a smaller partition.sigma \(now 2\), fewer"):
        mixed(dataset, 3, generator(0, "partition"), alpha=None, sigma=2.0, min_examples=4)


def test_classes_and_sizes_are_both_skewed(labelled):
    dataset = labelled(np.arange(6000) % 10)
    partition = mixed(
        dataset, 20, generator(0, "partition"), classes_per_client=3, alpha=None, sigma=1.0
    )
    counts = partition.counts(dataset.train, dataset.spec)
    assert (np.count_nonzero(counts, axis=1) <= 3).all()
    assert all(counts[k, k % 10] for k in range(20))
    assert partition.train.sizes.std() > 100
    assert partition.train.sizes.min() >= 10
    assert sorted(partition.train.rows) == list(range(6000))
    assert partition.rule == "mixed/classes_lognormal@1"


@pytest.mark.parametrize("weights", [{"sigma": 1.0}, {"alpha": None}])
def test_one_of_the_two_kinds_of_weights(labelled, weights):
    with pytest.raises(ConfigError, match=r"either partition.alpha or partition.sigma"):
        mixed(labelled(np.arange(100) % 2), 2, generator(0, "partition"), **weights)


def test_infeasible_requests_are_refused_at_once(labelled):
    draw = generator(0, "partition")
    with pytest.raises(ConfigError, match=r"min_examples=10 for clients.count=4 needs 40"):
        mixed(labelled(np.arange(39) % 2), 4, draw)
    with pytest.raises(ConfigError, match="to nobody"):
        mixed(labelled(np.arange(90) % 9), 4, draw, classes_per_client=1)
