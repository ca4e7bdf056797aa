"""image_folder: pictures made on the spot, and every folder that does not fit."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedrun.core.option import ConfigError
from fedrun.data.image_folder import image_folder

Image = pytest.importorskip("PIL.Image", reason="needs the extra image")


def draw(path: Path, level: int, *, size: tuple[int, int] = (4, 3), mode: str = "RGB") -> None:
    """Left half `level`, right half 0; red only where there are colours."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.new(mode, size)
    for column in range(size[0] // 2):
        for row in range(size[1]):
            picture.putpixel((column, row), level if mode == "L" else (level, 0, 0))
    picture.save(path)


@pytest.fixture
def halves(tmp_path: Path) -> Path:
    draw(tmp_path / "train" / "dog" / "2.png", 40)
    draw(tmp_path / "train" / "cat" / "b.png", 20)
    draw(tmp_path / "train" / "cat" / "a.PNG", 10)
    draw(tmp_path / "test" / "dog" / "1.bmp", 255)
    (tmp_path / "README.md").write_text("beside the folders")
    (tmp_path / "train" / "cat" / ".DS_Store").write_text("left behind")
    return tmp_path


def test_train_and_test_folders(halves: Path) -> None:
    data = image_folder(root=str(halves))
    assert (data.spec.kind, data.spec.classes, data.spec.outputs) == ("classes", ("cat", "dog"), 2)
    assert data.train.x.shape == (3, 3, 3, 4)  # red, green, blue; 3 rows; 4 columns
    assert (data.train.y.tolist(), data.test.y.tolist()) == ([0, 0, 1], [1])
    assert data.train.x[:, 0, 2].tolist() == [
        [np.float32(level) / np.float32(255)] * 2 + [0, 0] for level in (10, 20, 40)
    ]
    assert (data.train.x[:, 1:] == 0).all()
    assert data.test.x[0, 0, 0].tolist() == [1, 1, 0, 0]
    assert data.train.client is None


def test_pictures_stand_as_the_camera_was_held(halves: Path) -> None:
    # Orientation 6 (EXIF 0x0112): stored with the top at the left, to be turned clockwise.
    picture = Image.new("RGB", (3, 4))
    for column in range(3):
        for row in range(2):
            picture.putpixel((column, row), (40, 0, 0))
    exif = picture.getexif()
    exif[0x0112] = 6
    picture.save(halves / "train" / "dog" / "2.png", exif=exif)
    turned = image_folder(root=str(halves)).train.x[2, 0]
    assert turned.shape == (3, 4)
    assert turned[0].tolist() == [0, 0, *[np.float32(40) / np.float32(255)] * 2]


def test_grayscale_size_and_scale(halves: Path) -> None:
    data = image_folder(root=str(halves), grayscale=True, size=8, normalize="train")
    assert data.train.x.shape == (3, 1, 8, 8)
    assert data.train.x.mean(dtype=np.float64) == pytest.approx(0, abs=1e-6)
    assert data.train.x.std(dtype=np.float64) == pytest.approx(1, abs=1e-6)
    # A red of 255 is a grey of 0.299 * 255 = 76.
    assert image_folder(root=str(halves), grayscale=True).test.x.max() == np.float32(76 / 255)


@pytest.mark.parametrize("inner", ["", "train"])
def test_one_folder_is_split(tmp_path: Path, inner: str) -> None:
    for label in ("a", "train"):
        for number in range(10):
            draw(tmp_path / inner / label / f"{number}.png", 10 + number)
    data = image_folder(root=str(tmp_path), test_fraction=0.3)
    assert np.bincount(data.train.y).tolist() == [7, 7]
    assert np.bincount(data.test.y).tolist() == [3, 3]
    assert data.spec.classes == ("a", "train")


def test_clients_are_folders(tmp_path: Path) -> None:
    for owner, label, level in (("10", "x", 1), ("9", "x", 2), ("9", "y", 3)):
        draw(tmp_path / "train" / owner / label / "1.png", level)
    draw(tmp_path / "test" / "11" / "y" / "1.png", 4)
    data = image_folder(root=str(tmp_path), client="folder")
    assert data.client_names == ("9", "10", "11")
    assert data.train.client is not None
    assert data.test.client is not None
    assert (data.train.client.tolist(), data.test.client.tolist()) == ([1, 0, 0], [2])
    assert (data.train.y.tolist(), data.test.y.tolist()) == ([0, 0, 1], [1])
    for owner in "ab":
        for label in "xy":
            for number in range(4):
                draw(tmp_path / "whole" / owner / label / f"{number}.png", 4)
    data = image_folder(root=str(tmp_path / "whole"), client="folder", test_fraction=0.25)
    assert data.test.client is not None
    assert np.bincount(data.test.client).tolist() == [2, 2]
    with pytest.raises(ConfigError, match=r"a/x is a folder where .*with data.client=folder"):
        image_folder(root=str(tmp_path / "whole"))


def test_modes_become_one(tmp_path: Path) -> None:
    draw(tmp_path / "a" / "1.png", 7, mode="L")
    palette = Image.new("P", (4, 3), 1)
    palette.putpalette([0, 0, 0, 9, 8, 7])
    palette.save(tmp_path / "a" / "2.png", transparency=b"\x00\x80")
    Image.new("RGBA", (4, 3), (1, 2, 3, 50)).save(tmp_path / "a" / "3.png")
    Image.new("1", (4, 3), 1).save(tmp_path / "a" / "4.png")
    for number in range(4):
        draw(tmp_path / "b" / f"{number}.png", 0)
    data = image_folder(root=str(tmp_path), test_fraction=0.5)
    both = np.concatenate([data.train.x, data.test.x])[:, :, 0, 0] * 255
    assert {tuple(row) for row in both.round().astype(int).tolist()} == {
        (7, 7, 7), (9, 8, 7), (1, 2, 3), (255, 255, 255), (0, 0, 0),
    }  # fmt: skip


def test_jpeg_is_read(halves: Path) -> None:
    Image.new("RGB", (4, 3), (200, 100, 50)).save(halves / "test" / "dog" / "2.jpeg", quality=100)
    data = image_folder(root=str(halves))
    assert data.test.x[1, :, 0, 0] * 255 == pytest.approx([200, 100, 50], abs=2)


def encoded(kind: str, **options: Any) -> bytes:
    target = io.BytesIO()
    Image.new("RGB", (4, 3)).save(target, kind, **options)
    return target.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is no readable picture: "),
        (b"text", "is no readable picture: it is none of PNG, JPEG, BMP, GIF, PPM, TIFF, WEBP$"),
        (encoded("PNG")[:-20], "is no readable picture: "),
        (encoded("PNG")[:40] + b"\0" * 30, "is no readable picture: "),
        (encoded("EPS"), "is no readable picture: "),
        (encoded("PCX"), "is no readable picture: "),  # which Pillow would decode if asked
    ],
)
def test_damaged_pictures_are_named(halves: Path, content: bytes, message: str) -> None:
    path = halves / "train" / "dog" / "3.png"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=f"^{path} {message}") as told:
        image_folder(root=str(halves))
    assert len(str(told.value).splitlines()) == 1


def test_pictures_that_do_not_fit(halves: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw(halves / "test" / "dog" / "2.png", 1, size=(6, 2))
    with pytest.raises(ConfigError, match=r"2.png has 6x2 pixels, .* 4x3; data.size=SIDE"):
        image_folder(root=str(halves))
    assert image_folder(root=str(halves), size=2).test.x.shape == (2, 3, 2, 2)
    Image.new("I;16", (4, 3)).save(halves / "test" / "dog" / "2.png")
    with pytest.raises(ConfigError, match=r"2.png has more than 8 bits a channel"):
        image_folder(root=str(halves))
    draw(halves / "test" / "dog" / "2.png", 1, size=(60, 50))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 2000)
    with pytest.raises(ConfigError, match=r"2.png is too large a picture"):
        image_folder(root=str(halves), size=2)


def test_folders_that_do_not_fit(halves: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"data=image_folder needs data.root=FOLDER"):
        image_folder()
    with pytest.raises(ConfigError, match=r"data.root=/absent is no folder"):
        image_folder(root="/absent")
    with pytest.raises(ConfigError, match=r"data.split_seed=3 has no effect: .*test gives"):
        image_folder(root=str(halves), split_seed=3)
    (halves / "train" / "cat" / "notes.txt").write_text("x")
    with pytest.raises(ConfigError, match=r"cat/notes.txt is no picture \(.png, "):
        image_folder(root=str(halves))
    (halves / "train" / "cat" / "notes.txt").unlink()
    draw(halves / "test" / "bird" / "1.png", 1)
    with pytest.raises(
        ConfigError, match=r"class 'bird' is in the test set and in no training row"
    ):
        image_folder(root=str(halves))
    (tmp_path / "empty" / "a").mkdir(parents=True)
    with pytest.raises(ConfigError, match=r"empty holds no picture"):
        image_folder(root=str(tmp_path / "empty"))
    with pytest.raises(ConfigError, match=r"a holds no folder; a folder per class"):
        image_folder(root=str(tmp_path / "empty" / "a"))
    draw(tmp_path / "empty" / "a" / "1.png", 1)
    draw(tmp_path / "empty" / "b" / "1.png", 1)
    with pytest.raises(ConfigError, match=r"class 'a' has a single row.*folders train and test"):
        image_folder(root=str(tmp_path / "empty"))


def test_without_pillow(halves: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(ConfigError, match=r"not installed: pip install 'fedrun\[image\]'"):
        image_folder(root=str(halves))
