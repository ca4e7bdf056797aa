"""Some of a data set's classes, as papers take them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from fedrun.core.dataset import Dataset, Split
from fedrun.core.option import ConfigError

Classes = list[int] | None


def only_classes(dataset: Dataset, classes: Classes) -> Dataset:
    """The rows of these classes, which are numbered anew in this order; null keeps all."""
    if classes is None:
        return dataset
    known = dataset.spec.classes
    if len(set(classes)) < max(len(classes), 2) or not set(classes) <= set(range(len(known))):
        raise ConfigError(
            f"data.classes={classes} is not accepted (accepted: two or more different numbers of "
            f"the {len(known)} classes of data={dataset.name}, from 0 to {len(known) - 1})"
        )
    place = np.full(len(known), -1)
    place[classes] = np.arange(len(classes))

    def half(split: Split) -> Split:
        kept = place[split.y] >= 0
        owner = split.client
        return Split(split.x[kept], place[split.y[kept]], None if owner is None else owner[kept])

    train, test = half(dataset.train), half(dataset.test)
    if not len(train) or not len(test):
        raise ConfigError(
            f"data.classes={classes} leaves no {'test' if len(train) else 'training'} row of "
            f"data={dataset.name}"
        )
    names = tuple(known[number] for number in classes)
    return replace(
        dataset,
        spec=replace(dataset.spec, outputs=len(names), classes=names),
        train=train,
        test=test,
        source=f"{dataset.source}, classes {', '.join(names)} only",
    )
