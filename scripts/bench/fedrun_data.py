"""A workload as a fedrun data set: `data=fedrun_data:workload`, its owners are the clients."""

from typing import Literal

import numpy as np
import workloads

from fedrun.core.dataset import Dataset, Spec, Split


def workload(*, which: Literal["W1", "W2", "W3", "W4"] = "W1", evaluate: bool = False) -> Dataset:
    """A workload of the benchmark.

    which: one of them.
    evaluate: a test set of the usual size, instead of ten rows.
    """
    facts, sizes = workloads.WORKLOADS[which], workloads.sizes(which)
    classes = tuple(str(label) for label in range(facts.classes))
    spec = Spec(facts.shape, facts.classes, "classes", classes)
    if facts.tokens:
        spec = Spec(facts.shape, facts.classes, "tokens", classes, vocabulary=facts.classes)
    owner = np.repeat(np.arange(facts.clients), sizes)
    test = workloads.test_rows(which) if evaluate else workloads.rows(which, 10, seed=1)
    train = workloads.rows(which, int(sizes.sum()), seed=0)
    return Dataset("workload", spec, Split(*train, owner), Split(*test), source="drawn")
