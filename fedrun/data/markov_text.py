"""Generated text: each client writes with a Markov chain of its own, near one that all share.

The rule, from one Philox stream of `seed`, in this order. The shared chain: for each symbol the
chances of what follows, a row ~ Dirichlet(concentration * symbols * p), where the mean p of symbol
k = 0, 1, ... is in proportion to 1 / (k + 1), as the letters of a text are. Then client by client:
n = LogNormal(4, 0.7) cut to 10 to 400 and rounded down, so many training sequences and
n // 4 test sequences; its own chain Q, drawn as the shared one, P; its first symbols, uniform; then
all its sequences grow by one symbol at a time under P' = (1 - difference) P + difference Q until
they are `length` + 1 long: u uniform, the next symbol is the first whose cumulative chance is above
u. The first `length` symbols are the input; the target is what follows at every position
(`task=tokens`) or at the last one alone (`task=classes`).

Sequences are independent, so the first n of a client may train and the rest test. With the
defaults sizes and shapes are those of the Shakespeare task of McMahan et al. 2017 (80 characters of
90 symbols), and a model can learn no more than the pairs: who knows P' is right as often as the
likeliest successor comes.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from fedrun.core.dataset import Array, Dataset, Spec, Split
from fedrun.core.option import Annotated, Count, Fraction, at_least, between
from fedrun.core.preparation import Preparation
from fedrun.data._random import generator


def markov_text(
    *,
    clients: Count = 50,
    symbols: Annotated[int, at_least(2)] = 90,
    length: Count = 80,
    concentration: Annotated[float, between(0.001, 1000)] = 0.1,
    difference: Fraction = 0.2,
    task: Literal["tokens", "classes"] = "tokens",
    seed: int = 0,
) -> Dataset:
    """Generated sequences of symbols, each client's from a Markov chain of its own.

    clients: number of writers, each a natural client (at least 1).
    symbols: size of the alphabet (at least 2).
    length: symbols of an example (at least 1; McMahan et al. and LEAF: 80).
    concentration: how little what follows depends on the symbol (0.001 to 1000; small is a single
        successor for each, large the same successors for all).
    difference: how much of its chain is a client's own (0 to 1; 0 is one chain for all).
    task: tokens predicts the next symbol everywhere, classes the one behind the last (LEAF).
    seed: draws everything; apart from the run's seed.
    """
    draw = generator(seed, "markov_text")
    shared = chain(draw, symbols, concentration)
    train, test = [], []
    for _ in range(clients):
        rows = int(np.clip(draw.lognormal(4.0, 0.7), 10, 400))
        own = (1 - difference) * shared + difference * chain(draw, symbols, concentration)
        text = written(draw, own, rows + rows // 4, length + 1)
        train.append(text[:rows])
        test.append(text[rows:])
    return Dataset(
        name="markov_text",
        spec=Spec((length,), symbols, task, tuple(map(str, range(symbols))), symbols),
        train=_split(train, task),
        test=_split(test, task),
        client_names=tuple(f"text_{client:05d}" for client in range(clients)),
        source=f"generated: Markov chains of {symbols} symbols, {clients} clients, seed {seed}",
        prepared=Preparation("as generated"),
    )


def chain(draw: np.random.Generator, symbols: int, concentration: float) -> Array:
    """float64 [symbols, symbols]: in each row the chances of what follows a symbol."""
    p = 1 / np.arange(1, symbols + 1)
    return draw.dirichlet(concentration * symbols * p / p.sum(), symbols)


def written(draw: np.random.Generator, chances: Array, rows: int, length: int) -> Array:
    """int64 [rows, length]: independent sequences of this chain."""
    cumulative = np.cumsum(chances, axis=1)
    cumulative[:, -1] = 1.0  # whatever the rounding: u is below it
    text = np.empty((rows, length), np.int64)
    text[:, 0] = draw.integers(len(chances), size=rows)
    for position in range(1, length):
        u = draw.random(rows)
        text[:, position] = (cumulative[text[:, position - 1]] <= u[:, None]).sum(axis=1)
    return text


def _split(texts: list[Array], task: str) -> Split:
    text = np.concatenate(texts)
    owner = np.repeat(np.arange(len(texts), dtype=np.int64), [len(rows) for rows in texts])
    target = text[:, 1:] if task == "tokens" else text[:, -1]
    return Split(np.ascontiguousarray(text[:, :-1]), np.ascontiguousarray(target), owner)
