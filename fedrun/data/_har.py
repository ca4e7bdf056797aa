"""The windows of UCI HAR: from one npz file, or from the folder that UCI publishes.

uci_har.npz: `signals` float32 [T, 9], `window_start`, `label` (1-6), `subject` (1-30) and
`segment`, one each per window of 128 steps. UCI's folder: train/ and test/, each with
subject_*.txt, y_*.txt and `Inertial Signals`. It names no segments: a new one begins where a
window's first half is not the second half of the window before.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fedrun.core.dataset import Array
from fedrun.core.option import ConfigError
from fedrun.data._bytes import read_bytes
from fedrun.data._npz import expect_arrays, load_npz

STEPS = 128
OFFICIAL_TEST = (2, 4, 9, 10, 12, 13, 18, 20, 24)
MEND = "save another set's windows as x [rows, channels, steps], y and client for data=table"
SIGNALS = [f"{s}_{axis}" for s in ("body_acc", "body_gyro", "total_acc") for axis in "xyz"]


@dataclass(frozen=True)
class Recording:
    """x: float32 [N, 9, 128]; label 0-5, subject 1-30, segment: int64 [N]. Rows stand by subject,
    then by activity, then in the order of the file."""

    x: Array
    label: Array
    subject: Array
    segment: Array

    def __len__(self) -> int:
        return len(self.label)


def read_har(path: Path) -> Recording:
    """path: the npz file, or the folder with train and test."""
    x, label, subject, segment = _folder(path) if path.is_dir() else _npz(path)
    if not len(label) or not np.isfinite(x).all():
        raise ConfigError(f"{path}: windows of finite numbers expected")
    if label.min() < 1 or label.max() > 6 or subject.min() < 1 or subject.max() > 30:
        raise ConfigError(f"{path}: labels 1 to 6 and subjects 1 to 30 expected; {MEND}")
    order = np.lexsort((label, subject))  # keeps the order of equals
    return Recording(x[order], label[order] - 1, subject[order], segment[order])


def _npz(path: Path) -> tuple[Array, Array, Array, Array]:
    arrays = load_npz(path)
    each = ("window_start", "label", "subject", "segment")
    expect_arrays(path, arrays, {"signals": ("f", 2), **dict.fromkeys(each, ("iu", 1))})
    signals = arrays["signals"].astype(np.float32)
    start, label, subject, segment = (arrays[name].astype(np.int64) for name in each)
    if signals.shape[1] != len(SIGNALS):
        raise ConfigError(f"{path}: {len(SIGNALS)} signals expected, {signals.shape[1]} found")
    if not len(start) == len(label) == len(subject) == len(segment):
        raise ConfigError(f"{path}: {', '.join(each)} must be as long as each other")
    if len(start) and (start.min() < 0 or start.max() + STEPS > len(signals)):
        raise ConfigError(f"{path}: a window lies outside of the {len(signals):,} steps")
    x = np.empty((len(start), len(SIGNALS), STEPS), np.float32)
    for row, begin in enumerate(start.tolist()):
        x[row] = signals[begin : begin + STEPS].T
    return x, label, subject, segment


def _folder(path: Path) -> tuple[Array, Array, Array, Array]:
    halves = []
    for half in ("train", "test"):
        folder = path / half
        signals = [
            _numbers(folder / "Inertial Signals" / f"{name}_{half}.txt", STEPS) for name in SIGNALS
        ]
        columns = [_numbers(folder / f"{name}_{half}.txt", 1)[:, 0] for name in ("y", "subject")]
        if len({len(array) for array in [*signals, *columns]}) > 1:
            raise ConfigError(f"{folder}: its files must have as many lines as each other")
        odd = np.isin(columns[1], OFFICIAL_TEST) != (half == "test")
        if odd.any():
            raise ConfigError(
                f"{folder} holds subject {columns[1][odd.argmax()]:g}, which UCI HAR has in the"
                f" other half or not at all; {MEND}"
            )
        halves.append((np.stack(signals, axis=1).astype(np.float32), *columns))
    x, label, subject = (np.concatenate(parts) for parts in zip(*halves, strict=True))
    label, subject = label.astype(np.int64), subject.astype(np.int64)
    begins = np.ones(len(x), bool)
    overlap = (x[1:, :, : STEPS // 2] == x[:-1, :, STEPS // 2 :]).all(axis=(1, 2))
    begins[1:] = ~overlap | (label[1:] != label[:-1]) | (subject[1:] != subject[:-1])
    return x, label, subject, np.cumsum(begins) - 1


def _numbers(path: Path, columns: int) -> Array:
    if not path.is_file():
        raise ConfigError(f"{path} is not there, which UCI HAR has; {MEND}")
    text = read_bytes(path).decode("latin-1")
    if not text.strip():
        raise ConfigError(f"{path} is empty")
    try:
        table = np.loadtxt(io.StringIO(text), ndmin=2)
    except ValueError as error:
        raise ConfigError(f"{path}: {error}") from error
    if table.shape[1] != columns:
        raise ConfigError(
            f"{path}: {columns} numbers a line expected, {table.shape[1]} found; {MEND}"
        )
    return table
