"""Sets whose files have the same names and shapes, told apart by their labels.

MNIST and Fashion-MNIST cannot be confused by anything but their content, and a published figure
must not be judged on the other one.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NamedTuple

from fedrun.core.option import ConfigError
from fedrun.data._bytes import read_bytes


class Known(NamedTuple):
    data: str  # the choice of `data`
    title: str


MNIST = Known("mnist", "MNIST")
FASHION_MNIST = Known("fashion_mnist", "Fashion-MNIST")
# SHA-256 of each label file, unpacked: `zcat FILE.gz | sha256sum`.
LABELS = {
    "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5": MNIST,  # train
    "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2": MNIST,  # t10k
    "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9": FASHION_MNIST,  # train
    "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34": FASHION_MNIST,  # t10k
}


def refuse_other_set(name: str, *labels: Path) -> None:
    """Raise where a label file is that of another set; files of no known set pass."""
    for path in labels:
        known = LABELS.get(hashlib.sha256(read_bytes(path)).hexdigest())
        if known is not None and known.data != name:
            raise ConfigError(
                f"data={name}: {path.parent} holds {known.title}'s files ({path.name});"
                f" take data={known.data}"
            )
