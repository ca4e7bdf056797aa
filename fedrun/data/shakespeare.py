"""Shakespeare's plays by role: the text task of McMahan et al., "Communication-efficient learning
of deep networks from decentralized data", AISTATS 2017, and of Caldas et al., "LEAF: a benchmark
for federated settings", 2018 (arXiv:1812.01097).

A role's text is cut by time: the last `test_fraction` of its lines, rounded up to at least one
line, test; the others train. Windows of `length + 1` characters are then taken from each half
every `stride` characters; what is left at the end is dropped. The first `length` characters are
the input; the target is what follows at every position (`task=tokens`: McMahan et al., TensorFlow
Federated) or at the last one alone (`task=classes`: LEAF, with `stride=1`).

Differs: a line is a line of verse here (McMahan et al. and TensorFlow Federated: a speech), and
windows run across lines without padding (LEAF pads each line with 80 blanks). LEAF's own JSON is
taken as it is, with its own halves.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np

from fedrun.core.dataset import Array, Dataset, Spec
from fedrun.core.option import ConfigError, Count
from fedrun.core.preparation import Preparation
from fedrun.data._alphabet import Alphabet, Symbols, alphabet
from fedrun.data._given import given_folder, refuse_beyond_memory, refuse_ineffective
from fedrun.data._leaf_text import is_leaf, read_leaf_text
from fedrun.data._random import generator
from fedrun.data._role import Role, read_roles
from fedrun.data._split import OpenFraction
from fedrun.data._window import LATER, Windows, halves, windows

NEEDS = "roles.jsonl (or .gz), the plays as .xml or .zip, or LEAF's folders train and test"
ORIGIN = (
    "the plays in XML by Jon Bosak (github.com/okfn/shakespeare-material), or"
    " github.com/TalwalkarLab/leaf (data/shakespeare)"
)


def shakespeare(
    *,
    root: str | None = None,
    task: Literal["tokens", "classes"] = "tokens",
    length: Count = 80,
    stride: Count | None = None,
    client: Literal["role", "play"] = "role",
    min_chars: Count = 1000,
    roles: Count | None = None,
    test_fraction: OpenFraction = 0.2,
    vocabulary: Alphabet = "tff",
    split_seed: int = 0,
) -> Dataset:
    """Next characters in Shakespeare's plays; a role is a natural client (640 of them by default).

    root: folder with roles.jsonl (or .gz), the plays as .xml or .zip, or LEAF's train and test.
    task: tokens predicts the next character everywhere (McMahan), classes the one after (LEAF).
    length: characters of an example (at least 1; McMahan et al. and LEAF: 80).
    stride: characters between the starts of two examples; null is `length` (LEAF: 1).
    client: whose text is one client's; play puts the roles of a play together.
    min_chars: roles with fewer characters are left out (of 1,355 roles 1,066 have 161).
    roles: that many of the others, drawn by split_seed; null keeps all (FedProx: 143).
    test_fraction: share of a role's lines, its last, that test (above 0 and below 1; papers: 0.2).
    vocabulary: tff is 90 symbols with one for unknown characters, leaf LEAF's 80.
    split_seed: draws the roles where `roles` is given; apart from the run's seed.
    """
    folder = given_folder("shakespeare", root, NEEDS, ORIGIN)
    symbols = alphabet(vocabulary)
    if is_leaf(folder):
        options = {
            "stride": (stride, None),
            "client": (client, "role"),
            "min_chars": (min_chars, 1000),
            "roles": (roles, None),
            "test_fraction": (test_fraction, 0.2),
            "split_seed": (split_seed, 0),
        }
        refuse_ineffective("LEAF's files are cut and split already", options)
        train, test, names = _of_leaf(folder, symbols, length)
    else:
        if roles is None:
            refuse_ineffective("data.roles is null", {"split_seed": (split_seed, 0)})
        chosen = _chosen(folder, min_chars, roles, split_seed)
        train, test, names = _of_roles(
            chosen, symbols, length, stride or length, client, test_fraction
        )
    if not len(train) or not len(test):
        half = "test" if len(train) else "training"
        raise ConfigError(f"data.length={length}: no example fits into the {half} half of any role")
    spec = Spec((length,), len(symbols.names), task, symbols.names, len(symbols.names))
    return Dataset(
        name="shakespeare",
        spec=spec,
        train=train.split(task),
        test=test.split(task),
        client_names=names,
        source=f"Shakespeare's plays, {folder}",
        licence="public domain text",
        prepared=Preparation(
            f"{length} characters, each as its place among the {len(symbols.names)} symbols of"
            f" data.vocabulary={vocabulary}"
        ),
        own_tests=LATER if (stride or (1 if is_leaf(folder) else length)) < length else "",
    )


def _chosen(folder: Path, min_chars: int, count: int | None, seed: int) -> list[Role]:
    found = read_roles(folder)
    if found is None:
        raise ConfigError(f"data.root={folder} must hold {NEEDS}\nGet it from {ORIGIN}")
    long = [role for role in found if len(role.text) >= min_chars]
    if not long or (count or 1) > len(long):
        what = f"data.roles={count}" if long else f"data.min_chars={min_chars}"
        raise ConfigError(f"{what}: {len(long):,} of {len(found):,} roles are as long as that")
    if count is None:
        return long
    drawn = generator(seed, "shakespeare").permutation(len(long))[:count]
    return [long[number] for number in sorted(drawn.tolist())]


def _of_roles(
    roles: list[Role], symbols: Symbols, length: int, stride: int, client: str, test_fraction: float
) -> tuple[Windows, Windows, tuple[str, ...]]:
    chars = sum(len(role.text) for role in roles)
    needed = 8 * chars // stride * 3 * length  # the windows, and inputs and targets apart
    refuse_beyond_memory(f"data.stride={stride}", needed, "make it larger, or take data.roles=N")
    names: dict[str, int] = {}
    parts: tuple[list[Array], list[Array]] = [], []
    owners: tuple[list[int], list[int]] = [], []
    for role in roles:
        name = role.play if client == "play" else f"{role.play}/{role.name}"
        number = names.setdefault(name, len(names))
        for text, part, owner in zip(halves(role.text, test_fraction), parts, owners, strict=True):
            part.append(windows(symbols.encode(text), length, stride))
            owner.append(number)
    train, test = (
        Windows(np.concatenate(part), np.repeat(np.array(owner, np.int64), [len(w) for w in part]))
        for part, owner in zip(parts, owners, strict=True)
    )
    return train, test, tuple(names)


def _of_leaf(
    folder: Path, symbols: Symbols, length: int
) -> tuple[Windows, Windows, tuple[str, ...]]:
    train, test = read_leaf_text(folder, length)
    number = {user: k for k, user in enumerate({**train, **test})}
    both = []
    for half in (train, test):
        text = "".join(a + b for x, y in half.values() for a, b in zip(x, y, strict=True))
        owner = [number[user] for user, (x, _) in half.items() for _ in x]
        token = symbols.encode(text).reshape(-1, length + 1)
        both.append(Windows(token, np.array(owner, np.int64)))
    return both[0], both[1], tuple(number)
