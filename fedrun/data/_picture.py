"""Encoded pictures (PNG, JPEG and the like) as bytes of pixels, through Pillow."""

from __future__ import annotations

import io
import struct
import warnings
from collections.abc import Iterable
from types import ModuleType

import numpy as np

from fedrun.core.dataset import Array
from fedrun.core.option import ConfigError

# Formats that Pillow decodes by itself; some others would start a program to do it.
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "PPM", "TIFF", "WEBP")
SUFFIXES = (
    ".png", ".jpg", ".jpeg", ".bmp", ".gif", ".ppm", ".pgm", ".tif", ".tiff", ".webp",
)  # fmt: skip
DEEP = ("I", "F")  # modes of more than 8 bits, which a conversion would cut off


def decode_pictures(
    encoded: Iterable[tuple[str, bytes]], *, size: int | None, grayscale: bool, asked_by: str
) -> Array:
    """uint8 [N, 1 or 3, height, width] of (where, bytes) pairs, all of one size.

    size: every picture is put into size x size pixels (bilinear, aspect ratio not kept).
    """
    image = pillow(asked_by)
    pictures: list[Array] = []
    for where, raw in encoded:
        pixels = _decoded(image, where, raw, size, grayscale)
        if pictures and pixels.shape != pictures[0].shape:
            height, width = pixels.shape[1:]
            raise ConfigError(
                f"{where} has {width}x{height} pixels, the pictures before it"
                f" {pictures[0].shape[2]}x{pictures[0].shape[1]}; data.size=SIDE puts all into one"
                " size"
            )
        pictures.append(pixels)
    return np.stack(pictures)


def pillow(asked_by: str) -> ModuleType:
    try:
        from PIL import Image
    except ImportError as error:
        raise ConfigError(
            f"{asked_by} reads pictures with Pillow, which is not installed:"
            " pip install 'fedrun[image]'"
        ) from error
    return Image


def _decoded(image: ModuleType, where: str, raw: bytes, size: int | None, grayscale: bool) -> Array:
    from PIL.ImageOps import exif_transpose

    try:
        # Pillow warns of a picture that is a bomb (a small file of very many pixels).
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", image.DecompressionBombWarning)
            # Decoding alone is content with a PNG whose end is missing.
            with image.open(io.BytesIO(raw), formats=FORMATS) as picture:
                picture.verify()
            with image.open(io.BytesIO(raw), formats=FORMATS) as picture:
                if picture.mode.split(";")[0] in DEEP:
                    raise ConfigError(
                        f"{where} has more than 8 bits a channel (mode {picture.mode}); save it"
                        " with 8"
                    )
                # A camera held upright writes the picture on its side, and says so.
                upright = exif_transpose(picture)
                # A palette with transparency has no colours of its own before it is unfolded.
                whole = upright.convert("RGBA") if "transparency" in upright.info else upright
                plain = whole.convert("L" if grayscale else "RGB")
    except (image.DecompressionBombError, image.DecompressionBombWarning) as error:
        raise ConfigError(f"{where} is too large a picture: {error}") from error
    # SyntaxError is how Pillow tells of a damaged PNG, struct.error of a damaged EXIF block.
    except (OSError, SyntaxError, ValueError, EOFError, struct.error) as error:
        if isinstance(error, ConfigError):
            raise
        unknown = isinstance(error, image.UnidentifiedImageError)
        why = f"it is none of {', '.join(FORMATS)}" if unknown else str(error)
        raise ConfigError(f"{where} is no readable picture: {why}") from error
    if size is not None and plain.size != (size, size):
        plain = plain.resize((size, size), image.Resampling.BILINEAR)
    pixels = np.asarray(plain)
    return pixels[None] if grayscale else np.ascontiguousarray(pixels.transpose(2, 0, 1))
