"""The nearest right spelling of what a user typed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from difflib import SequenceMatcher, get_close_matches

from fedrun.experiment.synonym import (
    CHOICES,
    KEYS,
    MEANT,
    NOT_OFFERED,
    OPTIONS,
    VALUES,
    called_here,
    plain,
)


def nearest(word: str, known: Iterable[str], most: int = 1, cutoff: float = 0.6) -> list[str]:
    """The known words that `word` was probably meant to be, best first; cutoff: how alike, to 1.

    >>> nearest("fedporx", ["fedavg", "fedprox"])
    ['fedprox']
    """
    return get_close_matches(word, list(known), n=most, cutoff=cutoff)


def nearest_choice(group: str, name: str, choices: Sequence[str]) -> list[str]:
    """Choices of a group that `name` was probably meant to be, best first.

    What the field calls so counts more than what is spelt alike; the first word alone (`iid` of
    `iid_balanced`) counts more than a spelling that is only somewhat alike.

    >>> nearest_choice("data", "fmnist", ["fashion_mnist", "femnist"])
    ['fashion_mnist']
    >>> nearest_choice("partition", "iid_balanced", ["dirichlet_balanced", "iid"])
    ['iid']
    """
    table = CHOICES.get(group, "")
    first = re.split("[_-]", name)[0]
    return (
        _meant(table, name, choices)
        or nearest(name, choices, cutoff=0.85)
        or _meant(table, first, choices)
        or nearest(name, choices)
    )


def nearest_option(group: str, option: str, options: Sequence[str]) -> list[str]:
    """Options of one choice of a group that `option` was probably meant to be, best first."""
    return _meant(OPTIONS.get(group, ""), option, options) or nearest(option, options)


def nearest_value(value: str, known: Sequence[str]) -> list[str]:
    """Values that `value` was probably meant to be, best first."""
    return _meant(VALUES, value, known) or nearest(value, known)


def _meant(table: str, word: str, known: Sequence[str]) -> list[str]:
    """The known words that differ in cases and `_` only, or that mean the same in the table."""
    same = [one for one in known if plain(one) == plain(word)]
    return same or [
        one for one in called_here(table, word) if one in known or "=" in one or "." in one
    ]


def nearest_key(key: str, keys: Sequence[str]) -> list[str]:
    """Full keys that `key` was probably meant to be: one or two, best first.

    What the field calls so comes first. A misspelt first word is mended alone; else a right last
    word counts most (`lr` -> `local.lr`), then the whole key, then a near last word.

    >>> nearest_key("algoritm.mu", ["rounds", "algorithm.mu", "local.lr"])
    ['algorithm.mu']
    >>> nearest_key("lrr", ["rounds", "algorithm.mu", "local.lr"])
    ['local.lr']
    """
    keys = [known for known in keys if known != key]
    said = [known for known in called_here(KEYS, key) if known in keys]
    if said:
        return said
    first, dot, rest = key.partition(".")
    firsts = {known.partition(".")[0]: None for known in keys}
    if dot and first not in firsts and (near := nearest(first, firsts)):
        start = f"{near[0]}."
        inside = [known.removeprefix(start) for known in keys if known.startswith(start)]
        return [start + (nearest(rest, inside) or [rest])[0]]
    last = _last(key)
    same_last = [known for known in keys if _last(known) == last]
    if same_last:
        same_last.sort(key=lambda known: -SequenceMatcher(None, key, known).ratio())
        return same_last[: 1 if "." in key else 2]
    whole = nearest(key, keys)
    if whole:
        return whole
    near_last = nearest(last, {_last(known): None for known in keys})
    return [known for known in keys if _last(known) in near_last][:2]


def did_you_mean(words: Sequence[str]) -> str:
    """`; did you mean 'x'?`, or nothing where nothing is near."""
    return f"; did you mean {' or '.join(repr(word) for word in words)}?" if words else ""


def no_choice(group: str, name: object, choices: Sequence[str]) -> str:
    """The sentence for a choice that a group does not have."""
    how, words = NOT_OFFERED.get(group, ("", ""))
    if plain(str(name)) in map(plain, words.split()):
        why = f"is not offered yet; {how}"
    else:
        why = f"is not known{did_you_mean(nearest_choice(group, str(name), choices))}"
    return f"{group}={name} {why} (choices: {', '.join(choices) or 'none'})"


def meant_here(key: str, value: object) -> str:
    """`; ` and what is written here for a value that papers give this key, or nothing.

    >>> meant_here("local=sgd.batch_size", None)
    '; 0 is the whole local set'
    """
    words, form = MEANT.get(key, ("", ""))
    return f"; {form}" if str(value).lower() in words.split() else ""


def no_key(key: str, keys: Sequence[str]) -> str:
    """The sentence for a key that is nobody's."""
    return f"no option {key!r}" + (did_you_mean(nearest_key(key, keys)) or "; see 'fedrun show'")


def no_option(
    group: str, name: str, option: str, options: Sequence[str], holders: Sequence[str]
) -> str:
    """The sentence for an option that this choice of a group lacks.

    `holders` are the group's other choices that have it.
    """
    start = f"{group}={name} has no option {option!r}"
    near = nearest_option(group, option, options)
    if near:
        return start + did_you_mean(near)
    if holders:
        have = "has" if len(holders) == 1 else "have"
        return f"{start}; {group}={', '.join(holders)} {have} it"
    return f"{start} (options: {', '.join(options) or 'none'})"


def _last(key: str) -> str:
    return key.rpartition(".")[2]
