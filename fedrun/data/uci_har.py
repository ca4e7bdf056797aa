"""Human activity recognition using smartphones (Anguita, Ghio, Oneto, Parra and Reyes-Ortiz, "A
public domain dataset for human activity recognition using smartphones", ESANN 2013), the raw
windows: body acceleration, angular speed and total acceleration, x y z each, 128 steps at 50 Hz.

Neighbouring windows share half of their steps, so a split by window would leak: rows are held out
by subject (the official split) or by whole unbroken recordings (segments).
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np

from fedrun.core.dataset import Array, Dataset, Spec, Split
from fedrun.core.option import ConfigError
from fedrun.core.preparation import Preparation, same
from fedrun.data._given import given_folder, refuse_ineffective
from fedrun.data._har import OFFICIAL_TEST, SIGNALS, STEPS, Recording, read_har
from fedrun.data._random import generator
from fedrun.data._scale import SCORED, fitted
from fedrun.data._split import OpenFraction

SUBJECTS = 30
CLASSES = ("walking", "upstairs", "downstairs", "sitting", "standing", "laying")
NEEDS = "uci_har.npz or UCI's folders train and test (with Inertial Signals)"
ORIGIN = "archive.ics.uci.edu/dataset/240 (unpack it; its README forbids commercial use)"


def uci_har(
    *,
    root: str | None = None,
    split: Literal["subject", "segment"] = "subject",
    test_fraction: OpenFraction = 0.2,
    normalize: Literal["train", "none"] = "train",
    split_seed: int = 0,
) -> Dataset:
    """10,299 windows of a phone's 9 motion signals, 6 activities; 30 subjects are natural clients.

    root: folder with uci_har.npz, or UCI's own folder with train and test; never null.
    split: subject is the official one (9 of 30 subjects test, 7,352 + 2,947 windows), segment
        holds out whole recordings of each subject and activity.
    test_fraction: share of these recordings, at least one each (above 0 and below 1).
    normalize: train z-scores each signal by the training windows; none leaves g and rad/s.
    split_seed: draws the recordings; apart from the run's seed.
    """
    path = _path(root)
    recording = read_har(path)
    if split == "subject":
        options = {"test_fraction": (test_fraction, 0.2), "split_seed": (split_seed, 0)}
        refuse_ineffective("data.split=subject is the official split", options)
        is_test = np.isin(recording.subject, OFFICIAL_TEST)
    else:
        is_test = _held_out(recording, test_fraction, split_seed)
    if is_test.all() or not is_test.any():
        raise ConfigError(f"{path}: data.split={split} leaves one side without a window")
    train, test = np.flatnonzero(~is_test), np.flatnonzero(is_test)
    x_train, x_test = recording.x[train], recording.x[test]
    prepared = Preparation("g and rad/s, as they are", same(SIGNALS, 1))
    if normalize == "train":
        x_train, x_test, prepared = _by_signal(x_train, x_test)
    owner = recording.subject - 1
    return Dataset(
        name="uci_har",
        spec=Spec((len(SIGNALS), STEPS), len(CLASSES), "classes", CLASSES),
        train=Split(x_train, recording.label[train], owner[train]),
        test=Split(x_test, recording.label[test], owner[test]),
        client_names=tuple(f"subject_{number:02d}" for number in range(1, SUBJECTS + 1)),
        source=f"UCI HAR, {path}",
        licence="CC BY 4.0 (UCI); the set's own README: no commercial use",
        prepared=prepared,
        own_tests="set data.split=segment and data.test_fraction, which keep back whole recordings "
        "of each subject",
    )


def _path(root: str | None) -> Path:
    folder = given_folder("uci_har", root, NEEDS, ORIGIN)
    if (folder / "uci_har.npz").is_file():
        return folder / "uci_har.npz"
    if (folder / "train").is_dir() and (folder / "test").is_dir():
        return folder
    raise ConfigError(f"data.root={folder} must hold {NEEDS}\nGet it from {ORIGIN}")


def _held_out(recording: Recording, fraction: float, seed: int) -> Array:
    """bool [N]: of the m segments of a subject's activity round(fraction m) test, at least one and
    not all; a single segment trains."""
    draw = generator(seed, "uci_har")
    is_test = np.zeros(len(recording), bool)
    cell = recording.subject * len(CLASSES) + recording.label
    for value in np.unique(cell):
        rows = np.flatnonzero(cell == value)
        segments = draw.permutation(np.unique(recording.segment[rows]))
        count = min(max(int(fraction * len(segments) + 0.5), 1), len(segments) - 1)
        is_test[rows] = np.isin(recording.segment[rows], segments[:count])
    return is_test


def _by_signal(train: Array, test: Array) -> tuple[Array, Array, Preparation]:
    """Each signal less its training mean, over its training sd, all steps together."""
    flat = [x.transpose(0, 2, 1).reshape(-1, len(SIGNALS)) for x in (train, test)]
    scale = fitted(flat[0])
    back = [scale(x).reshape(-1, STEPS, len(SIGNALS)).transpose(0, 2, 1) for x in flat]
    done = Preparation(f"each signal {SCORED}", scale.features(SIGNALS))
    return np.ascontiguousarray(back[0]), np.ascontiguousarray(back[1]), done
