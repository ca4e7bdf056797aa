"""Names of groups short enough to stand in a picture, and still different from each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

MOST = 27  # letters


def short_names(names: Sequence[str], most: int = MOST) -> list[str]:
    """As they are where they fit; else without the groups of keys, then without what most names
    share, then cut in the middle. The whole names stand in legend and table.

    >>> short_names(["fedavg local.lr=0.05 clients.count=100", "fedavg local.lr=0.1"])
    ['fedavg lr=0.05 count=100', 'fedavg lr=0.1']
    """
    words = [name.split(" ") for name in names]
    if _fit(words, most):
        return list(names)
    words = _kept(words, [[_last_part(word) for word in each] for each in words])
    counts = Counter(word for each in words for word in dict.fromkeys(each))
    for word, count in counts.most_common():
        if _fit(words, most) or 2 * count <= len(words):
            break
        if "=" not in word:  # the method itself
            continue
        words = _kept(words, [[w for w in each if w != word] or each for each in words])
    return [_cut(" ".join(each), most) for each in words]


def _fit(words: Sequence[list[str]], most: int) -> bool:
    return all(len(" ".join(each)) <= most for each in words)


def _kept(before: list[list[str]], after: list[list[str]]) -> list[list[str]]:
    """The shorter ones, unless two of them would be the same."""
    return after if len({tuple(each) for each in after}) == len(after) else before


def _last_part(word: str) -> str:
    key, equals, value = word.partition("=")
    return f"{key.rpartition('.')[2]}{equals}{value}" if equals else word


def _cut(text: str, most: int) -> str:
    """
    >>> _cut("abcdefghij", 7)
    'abc…hij'
    """
    if len(text) <= most:
        return text
    half = (most - 1) // 2
    return f"{text[: most - 1 - half]}…{text[len(text) - half :]}"
