"""uci_har: windows by hand, both kinds of file, and the facts of the real one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedrun.core.option import ConfigError
from fedrun.data._har import OFFICIAL_TEST, SIGNALS, read_har
from fedrun.data.uci_har import uci_har

REAL = (
    Path(
        os.environ.get("FEDRUN_TEST_DATA")
        or Path(__file__).resolve().parents[2].parent / "shared" / "data"
    )
    / "uci_har"
)
real = pytest.mark.skipif(not REAL.is_dir(), reason="the real file is not here")
SEGMENTS = 5


def arrays() -> dict[str, Any]:
    """Subjects 1, 2 and 3, six activities, five segments each of 2 windows (256 - 64 steps)."""
    draw = np.random.default_rng(0)
    cells = [(s, a) for s in (1, 2, 3) for a in range(1, 7) for _ in range(SEGMENTS)]
    start = np.concatenate([[192 * k, 192 * k + 64] for k in range(len(cells))])
    label = np.repeat([activity for _, activity in cells], 2)
    subject = np.repeat([subject for subject, _ in cells], 2)
    return {
        "signals": draw.normal(size=(192 * len(cells), 9)).astype(np.float32).round(3),
        "window_start": start.astype(np.int32),
        "label": label.astype(np.int8),
        "subject": subject.astype(np.int8),
        "segment": np.repeat(np.arange(len(cells)), 2).astype(np.int16),
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    np.savez(tmp_path / "uci_har.npz", **arrays())
    return tmp_path


def publish(folder: Path, content: dict[str, Any]) -> Path:
    """The same windows in UCI's own files, of which test holds the official subjects."""
    for half in ("train", "test"):
        rows = np.flatnonzero(np.isin(content["subject"], OFFICIAL_TEST) == (half == "test"))
        signals = folder / half / "Inertial Signals"
        signals.mkdir(parents=True)
        start = content["window_start"][rows]
        for k, name in enumerate(SIGNALS):
            windows = content["signals"][start[:, None] + np.arange(128), k]
            np.savetxt(signals / f"{name}_{half}.txt", windows, fmt="%.7e", delimiter="  ")
        np.savetxt(folder / half / f"y_{half}.txt", content["label"][rows], fmt="%d")
        np.savetxt(folder / half / f"subject_{half}.txt", content["subject"][rows], fmt="%d")
    return folder


def test_official_split_is_by_subject(folder: Path) -> None:
    data = uci_har(root=str(folder), normalize="none")
    assert data.spec.input_shape == (9, 128)
    assert data.spec.classes[5] == "laying"
    assert np.unique(data.train.client).tolist() == [0, 2]
    assert np.unique(data.test.client).tolist() == [1]
    assert data.client_names[1] == "subject_02"
    signals = arrays()["signals"]
    assert (data.train.x[0] == signals[:128].T).all()
    assert (data.train.x[1] == signals[64:192].T).all()
    assert data.train.y[:11].tolist() == [0] * 10 + [1]


def test_signals_are_scaled_by_the_training_windows(folder: Path) -> None:
    data = uci_har(root=str(folder))
    x = data.train.x.astype(np.float64)
    assert np.abs(x.mean(axis=(0, 2))).max() < 1e-6
    assert np.abs(x.std(axis=(0, 2)) - 1).max() < 1e-6
    raw = uci_har(root=str(folder), normalize="none")
    mean, deviation = raw.train.x[:, 4].mean(), raw.train.x[:, 4].std()
    assert data.test.x[3, 4] == pytest.approx((raw.test.x[3, 4] - mean) / deviation, abs=1e-5)


def test_segments_are_never_cut(folder: Path) -> None:
    data = uci_har(root=str(folder), split="segment", normalize="none")
    # One segment of five, two windows each, of every subject and activity.
    for subject in range(3):
        held = data.test.y[data.test.client == subject]
        assert np.bincount(held).tolist() == [2] * 6
    steps = {row.tobytes() for row in data.train.x.transpose(0, 2, 1).reshape(-1, 9)}
    assert not any(row.tobytes() in steps for row in data.test.x.transpose(0, 2, 1).reshape(-1, 9))
    more = uci_har(root=str(folder), split="segment", test_fraction=0.95)
    assert (np.bincount(more.train.client) == 12).all()
    other = uci_har(root=str(folder), split="segment", normalize="none", split_seed=1)
    assert other.fingerprint != data.fingerprint


def test_the_published_folder_gives_the_same(folder: Path, tmp_path: Path) -> None:
    path = publish(tmp_path / "UCI HAR Dataset", arrays())
    for options in ({}, {"split": "segment"}):
        made = uci_har(root=str(path), **options)  # type: ignore[arg-type]
        assert made.fingerprint == uci_har(root=str(folder), **options).fingerprint  # type: ignore[arg-type]
    assert len(np.unique(read_har(path).segment)) == 3 * 6 * SEGMENTS


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"segment": None}, r"has no array 'segment'"),
        ({"label": np.full(180, 7)}, r"labels 1 to 6 and subjects 1 to 30"),
        ({"subject": np.zeros(180, int)}, r"subjects 1 to 30"),
        ({"label": np.ones(3, int)}, r"must be as long as each other"),
        ({"signals": np.zeros((100, 9))}, r"outside of the 100 steps"),
        ({"signals": np.zeros((17_280, 3))}, r"9 signals expected, 3 found"),
        ({"signals": np.full((17_280, 9), np.nan)}, r"finite numbers expected"),
        ({"subject": np.ones(180, int)}, r"data.split=subject leaves one side without"),
    ],
)
def test_files_that_do_not_fit(folder: Path, change: dict[str, Any], message: str) -> None:
    content = {name: array for name, array in (arrays() | change).items() if array is not None}
    np.savez(folder / "uci_har.npz", **content)
    with pytest.raises(ConfigError, match=message):
        uci_har(root=str(folder))


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("y_train.txt", None, r"y_train.txt is not there, .*data=table"),
        ("y_train.txt", "", r"y_train.txt is empty"),
        ("y_train.txt", "1\n2\n", r"as many lines as each other"),
        ("y_train.txt", "1 2\n", r"1 numbers a line expected, 2 found"),
        ("Inertial Signals/body_acc_x_train.txt", "1 2\n3 x\n", r"body_acc_x_train.txt: "),
    ],
)
def test_published_files_that_do_not_fit(
    tmp_path: Path, file: str, content: str | None, message: str
) -> None:
    publish(tmp_path, arrays())
    (tmp_path / "train" / file).unlink()
    if content is not None:
        (tmp_path / "train" / file).write_text(content)
    with pytest.raises(ConfigError, match=message):
        uci_har(root=str(tmp_path))


def test_mistakes(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"data=uci_har needs data.root=FOLDER .*\nGet it from"):
        uci_har()
    with pytest.raises(ConfigError, match=r"data.test_fraction=0.3 has no effect: .* official"):
        uci_har(root=str(folder), test_fraction=0.3)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match=r"must hold uci_har.npz or UCI's folders"):
        uci_har(root=str(tmp_path / "empty"))


@real
def test_real_file() -> None:
    data = uci_har(root=str(REAL), normalize="none")
    assert (len(data.train), len(data.test)) == (7352, 2947)
    assert np.bincount(np.r_[data.train.y, data.test.y]).tolist() == [
        1722,
        1544,
        1406,
        1777,
        1906,
        1944,
    ]
    per_subject = np.bincount(np.r_[data.train.client, data.test.client])
    assert per_subject[:5].tolist() == [347, 302, 341, 317, 302]
    assert (np.unique(data.test.client) + 1).tolist() == list(OFFICIAL_TEST)
    assert np.bincount(data.train.y[data.train.client == 0]).tolist() == [95, 53, 49, 47, 53, 50]
    assert data.train.x[0, :2, 0] == pytest.approx([-0.376954, 0.129822], abs=1e-6)
    both = np.concatenate([data.train.x, data.test.x])
    # In float64; sums in float32 give 0.80718 and 0.40371.
    assert both.mean(axis=(0, 2), dtype=np.float64)[6] == pytest.approx(0.80833, abs=1e-5)
    assert both.std(axis=(0, 2), dtype=np.float64)[3] == pytest.approx(0.40394, abs=1e-5)
    held = uci_har(root=str(REAL), split="segment")
    assert len(np.unique(held.train.client)) == len(np.unique(held.test.client)) == 30


def test_a_folder_with_halves_of_its_own_is_not_split_the_official_way(tmp_path: Path) -> None:
    content = arrays()
    publish(tmp_path, content)
    moved = np.loadtxt(tmp_path / "test" / "subject_test.txt", dtype=int)
    moved[:] = 5  # a subject of the official training half
    np.savetxt(tmp_path / "test" / "subject_test.txt", moved, fmt="%d")
    with pytest.raises(ConfigError, match=r"test holds subject 5, .* other half .*data=table"):
        uci_har(root=str(tmp_path))
