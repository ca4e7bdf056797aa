"""A folder of pictures: one folder per class, and one per client around them where clients have
names of their own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from fedrun.core.dataset import Array, Dataset, Split
from fedrun.core.option import ConfigError, Count
from fedrun.data._bytes import read_bytes
from fedrun.data._half import drawn_halves, given_halves, refuse_split_options
from fedrun.data._picture import SUFFIXES, decode_pictures
from fedrun.data._pixel import Normalize, scale_pixels
from fedrun.data._split import OpenFraction
from fedrun.data._target import owners, target_spec

IGNORED = {"Thumbs.db", "desktop.ini"}  # what file managers leave behind


@dataclass(frozen=True)
class Found:
    """One picture: its file, class and, where clients are folders, client."""

    path: Path
    label: str
    client: str


def image_folder(
    *,
    root: str | None = None,
    client: Literal["none", "folder"] = "none",
    size: Count | None = None,
    grayscale: bool = False,
    normalize: Normalize = "none",
    test_fraction: OpenFraction = 0.2,
    split_seed: int = 0,
) -> Dataset:
    """Your own pictures in folders named by class, pixels over 255 (needs the extra `image`).

    root: folder with train/CLASS/*.png and test/CLASS/*.png, or CLASS/*.png to be split (also jpg,
        bmp, gif, tif, webp, ppm); never null.
    client: folder reads CLIENT/CLASS/*.png in place of CLASS/*.png, each CLIENT a natural client.
    size: put every picture into this many pixels a side (bilinear); null needs all of one size.
    grayscale: one channel in place of red, green, blue.
    normalize: train also z-scores each channel by the training pictures; none leaves 0 to 1.
    test_fraction: share of the pictures held out where there is no folder test (above 0 and below
        1).
    split_seed: draws which these are; stratified by class, within each client where they are named.
    """
    if root is None:
        raise ConfigError("data=image_folder needs data.root=FOLDER with train/CLASS/*.png or so")
    folder = Path(root).expanduser()
    if not folder.is_dir():
        raise ConfigError(f"data.root={root} is no folder; it must hold a folder per class")
    own_test = (folder / "train").is_dir() and (folder / "test").is_dir()
    if own_test:
        refuse_split_options(f"{folder / 'test'}", test_fraction, split_seed)
        found = list(_pictures(folder / "train", client))
        held_out = list(_pictures(folder / "test", client))
    else:
        # A class may be called `train`; then pictures and no folders lie in it.
        only_train = (folder / "train").is_dir() and any(
            map(Path.is_dir, (folder / "train").iterdir())
        )
        found, held_out = list(_pictures(folder / "train" if only_train else folder, client)), []
    if not found or (own_test and not held_out):
        raise ConfigError(f"{folder / 'test' if found else folder} holds no picture")
    everything = found + held_out
    spec, y = target_spec(
        f"{folder}: the class", np.array([one.label for one in everything], np.str_), "classes"
    )
    owner, names = owners([one.client for one in everything]) if client == "folder" else (None, ())
    if own_test:
        train, test = given_halves(spec, y, np.arange(len(y)) >= len(found))
    else:
        train, test = drawn_halves(
            spec, y, owner, test_fraction, split_seed, given="folders train and test"
        )
    pixels = decode_pictures(
        ((str(one.path), read_bytes(one.path)) for one in everything),
        size=size,
        grayscale=grayscale,
        asked_by="data=image_folder",
    )
    x_train, x_test, prepared = scale_pixels(pixels[train], pixels[test], normalize)
    sized = f"bilinear to {size}x{size}, " if size else ""

    def split(x: Array, rows: Array) -> Split:
        return Split(x, y[rows], None if owner is None else owner[rows])

    return Dataset(
        name="image_folder",
        spec=type(spec)(x_train.shape[1:], spec.outputs, "classes", spec.classes),
        train=split(x_train, train),
        test=split(x_test, test),
        client_names=names,
        source=f"pictures in {folder}",
        prepared=replace(prepared, how=sized + prepared.how),
    )


def _pictures(folder: Path, client: Literal["none", "folder"]) -> Iterator[Found]:
    """Client by client and class by class, in the order of the names."""
    for owner in _folders(folder) if client == "folder" else [folder]:
        for label in _folders(owner):
            for path in sorted(label.iterdir()):
                if path.name.startswith(".") or path.name in IGNORED:
                    continue
                if path.is_dir():
                    raise ConfigError(
                        f"{path} is a folder where a picture was expected; "
                        + (
                            "pictures lie in CLIENT/CLASS/"
                            if client == "folder"
                            else "with data.client=folder they may lie in CLIENT/CLASS/"
                        )
                    )
                if path.suffix.lower() not in SUFFIXES:
                    raise ConfigError(f"{path} is no picture ({', '.join(SUFFIXES)})")
                yield Found(path, label.name, owner.name)


def _folders(folder: Path) -> list[Path]:
    inner = sorted(path for path in folder.iterdir() if path.is_dir() and path.name[0] != ".")
    if not inner:
        raise ConfigError(f"{folder} holds no folder; a folder per class was expected")
    return inner
