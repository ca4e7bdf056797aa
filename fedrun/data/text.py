"""Your own texts: the next character or the next word, as in the task of McMahan et al.,
"Communication-efficient learning of deep networks from decentralized data", AISTATS 2017.

A text is cut by time: its last `test_fraction` (in symbols, rounded up) tests, the rest trains.
Windows of `length + 1` symbols are taken from each half every `stride` symbols, from its start;
what is left at the end is dropped, and no window reaches across the cut. The first `length` symbols
are the input; the target is what follows at every position (`task=tokens`) or at the last one alone
(`task=classes`). Texts are read as UTF-8 in Unicode's composed form (NFC: an accent and its letter
are one symbol), with \\n between lines.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from itertools import chain
from pathlib import Path
from typing import Literal

import numpy as np

from fedrun.core.dataset import Dataset, Spec
from fedrun.core.option import Annotated, ConfigError, Count, at_least
from fedrun.core.preparation import Preparation
from fedrun.data._bytes import read_text
from fedrun.data._csv import listed
from fedrun.data._given import refuse_beyond_memory
from fedrun.data._split import OpenFraction
from fedrun.data._window import LATER, Windows, windows

ENDINGS = (".txt", ".txt.gz")
UNKNOWN = "<unknown>"
WORD = re.compile(r"\w+(?:['’]\w+)*|[^\w\s]|\n")  # a word, a sign, the end of a line


def text(
    *,
    path: str | None = None,
    unit: Literal["character", "word"] = "character",
    task: Literal["tokens", "classes"] = "tokens",
    length: Count = 80,
    stride: Count | None = None,
    symbols: Annotated[int, at_least(2)] | None = None,
    test_fraction: OpenFraction = 0.2,
) -> Dataset:
    """Next characters or words of your own text files (UTF-8); each file is a natural client.

    path: a file .txt or .txt.gz, or a folder of them, each a client; never null.
    unit: what a symbol is: a character, or a word or a sign between words.
    task: tokens predicts the next symbol everywhere, classes the one behind the last (LEAF).
    length: symbols of an example (at least 1; McMahan et al. and LEAF: 80 characters).
    stride: symbols between the starts of two examples; null is `length` (LEAF: 1).
    symbols: that many symbols are told apart, the most frequent of the training halves and one for
        all others (at least 2); null tells all of them apart.
    test_fraction: share of each text, its end, that tests (above 0 and below 1; papers: 0.2).
    """
    texts = _texts(path)
    parts: dict[str, tuple[list[str], list[str]]] = {}
    for name, content in texts.items():
        said = list(content) if unit == "character" else WORD.findall(content)
        # 0.07 * 100 is 7.000000000000001, which must not become 8.
        cut = len(said) - math.ceil(round(test_fraction * len(said), 9))
        parts[name] = said[:cut], said[cut:]
    stride = stride or length
    total = sum(len(said) for halves in parts.values() for said in halves)
    refuse_beyond_memory(
        f"data.stride={stride}", 24 * total // stride * length, "make it larger, or the texts fewer"
    )
    known = _vocabulary([train for train, _ in parts.values()], symbols)
    position = {symbol: token for token, symbol in enumerate(known)}
    train, test = (
        _half([halves[at] for halves in parts.values()], position, length, stride) for at in (0, 1)
    )
    if not len(train) or not len(test):
        half = "test" if len(train) else "training"
        longest = max(len(halves[len(train) > 0]) for halves in parts.values())
        raise ConfigError(
            f"data.length={length}: no example fits into the {half} half of any text, the longest"
            f" of which has {longest:,} {unit}s"
        )
    spec = Spec((length,), len(known), task, tuple(known), len(known))
    return Dataset(
        name="text",
        spec=spec,
        train=train.split(task),
        test=test.split(task),
        client_names=tuple(texts),
        source=f"{len(texts):,} texts of {path}",
        prepared=Preparation(f"{length} {unit}s, each as its place among the {len(known)} symbols"),
        own_tests=LATER if stride < length else "",
    )


def _texts(path: str | None) -> dict[str, str]:
    """Name of the file without its ending -> its text."""
    if path is None:
        raise ConfigError("data=text needs data.path=FILE or FOLDER (.txt, UTF-8)")
    place = Path(path).expanduser()
    if place.is_file():
        files = [place]
    elif place.is_dir():
        files = [file for file in sorted(place.iterdir()) if file.name.endswith(ENDINGS)]
        if not files:
            raise ConfigError(f"data.path={path} holds no file of {', '.join(ENDINGS)}")
    else:
        raise ConfigError(f"data.path={path} does not exist; give a text file or a folder of them")
    found: dict[str, str] = {}
    for file in files:
        name = file.name.removesuffix(".gz").removesuffix(".txt")
        if name in found:
            raise ConfigError(f"{place} holds {name}.txt twice, packed and not packed; keep one")
        found[name] = _read(file)
    return found


def _read(file: Path) -> str:
    content = read_text(file)
    if "\0" in content:
        raise ConfigError(f"{file} is no text: it holds a byte 0 at {content.index(chr(0)):,}")
    return unicodedata.normalize("NFC", content.replace("\r\n", "\n").replace("\r", "\n"))


def _vocabulary(train: list[list[str]], symbols: int | None) -> list[str]:
    """The unknown symbol and the most frequent ones, equals by their code points."""
    count = Counter(chain.from_iterable(train))
    order = sorted(count, key=lambda symbol: (-count[symbol], symbol))
    if symbols is not None and symbols > len(order) + 1:
        raise ConfigError(
            f"data.symbols={symbols}, but the training halves hold {len(order):,} different symbols"
            f" ({listed(order[:5])}, ...) and one for unknown ones"
        )
    return [UNKNOWN, *order[: None if symbols is None else symbols - 1]]


def _half(texts: list[list[str]], position: dict[str, int], length: int, stride: int) -> Windows:
    parts = [
        windows(np.array([position.get(symbol, 0) for symbol in said], np.int64), length, stride)
        for said in texts
    ]
    owner = np.repeat(np.arange(len(texts)), [len(part) for part in parts])
    return Windows(np.concatenate(parts), owner.astype(np.int64))
