"""A small problem on which every method is written a second time, in NumPy and float64.

A rule needs losses alone: gradients are taken by differences, so that nothing of the package's own
arithmetic is in what it is compared with.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pytest

from fedrun.core.federation import Job, clients_of
from fedrun.core.tree import expand, row

SIZES = (3, 7, 12, 5, 9)  # examples of each client
FEATURES, HIDDEN, CLASSES = 4, 5, 3
SHAPES = ((HIDDEN, FEATURES), (HIDDEN,), (CLASSES, HIDDEN), (CLASSES,))
BODY = HIDDEN * FEATURES + HIDDEN  # so many numbers stand before the last layer's

Array = np.ndarray
Loss = Callable[[Array], Array]  # of a vector of numbers, or of each vector of a stack


def log_softmax(z: Array) -> Array:
    z = z - z.max(axis=-1, keepdims=True)
    return z - np.log(np.exp(z).sum(axis=-1, keepdims=True))


def slope(loss: Loss, w: Array) -> Array:
    """The gradient, by central differences."""
    steps = 1e-7 * np.eye(len(w))  # so short that no ReLU turns in between
    return (loss(w + steps) - loss(w - steps)) / 2e-7


@dataclass(frozen=True)
class Turn:
    """A round as it went: whose turn it was and how many steps they took, the global model after
    it, and all clients' own ones where the method has them."""

    cohort: list[int]
    steps: dict[int, int]
    model: Array
    own: list[Array] | None


@dataclass(frozen=True)
class Toy:
    """Five clients that hold unequally much, one of them nothing of a class."""

    x: Array
    y: Array
    owner: Array
    sizes: Array
    lr: float = 0.3

    def rows(self, k: int) -> Array:
        return np.flatnonzero(self.owner == k)

    def outputs(self, w: Array, rows: Array) -> tuple[Array, Array]:
        """What the network makes of these rows, and what enters its last layer."""
        first, shift, last, bias = self.leaves(w)
        z = np.maximum(self.x[rows] @ first.swapaxes(-1, -2) + shift[..., None, :], 0)
        return z @ last.swapaxes(-1, -2) + bias[..., None, :], z

    def entropy(self, outputs: Array, rows: Array) -> Array:
        return -log_softmax(outputs)[..., np.arange(len(rows)), self.y[rows]].mean(axis=-1)

    def loss(self, k: int) -> Loss:
        """F_k."""
        rows = self.rows(k)
        return lambda w: self.entropy(self.outputs(w, rows)[0], rows)

    def leaves(self, w: Array) -> Iterator[Array]:
        at = 0
        for shape in SHAPES:
            size = int(np.prod(shape))
            yield w[..., at : at + size].reshape(*w.shape[:-1], *shape)
            at += size

    def descend(
        self, w: Array, loss: Loss, steps: int = 3, *, lr: float | None = None,
        momentum: float = 0.0, drift: Array | float = 0.0, only: Array | float = 1.0,
        anchor: Array | float = 0.0, mu: float = 0.0,
    ) -> Array:  # fmt: skip
        """SGD on loss + <drift, w> + mu/2 |w - anchor|^2, on all that a client holds."""
        velocity = np.zeros_like(w)
        for _ in range(steps):
            gradient = slope(loss, w) + drift + mu * (w - anchor)
            velocity = momentum * velocity + gradient * only
            w = w - (self.lr if lr is None else lr) * velocity
        return w

    def mean(self, models: list[Array], cohort: list[int], weights: str) -> Array:
        share = self.sizes[cohort] if weights == "examples" else np.ones(len(cohort))
        return np.tensordot(share / share.sum(), np.stack(models), 1)


@pytest.fixture(scope="session")
def toy() -> Toy:
    draw = np.random.default_rng(5)
    owner = np.repeat(np.arange(5), SIZES)
    y = draw.integers(0, CLASSES, len(owner))
    y[owner == 1] %= 2
    x = draw.normal(size=(5, FEATURES))[owner] + draw.normal(size=(len(owner), FEATURES))
    x[:, :CLASSES] += 1.5 * np.eye(CLASSES)[y]
    x = x.round(3).astype(np.float32).astype(np.float64)
    return Toy(x, y, owner, np.array(SIZES, float))


@pytest.fixture(scope="session")
def course(toy, federation, play):
    """course("algorithm=scaffold") -> the first model, and the rounds as this package runs them;
    with server="models" also the first of several models."""

    def flat(tree):
        return np.concatenate([leaf.double().numpy().ravel() for leaf in tree.values()])

    def run(*options, server=None):
        experiment = federation(
            "data=inline", f"data.x={toy.x.round(3).tolist()}", f"data.y={toy.y.tolist()}",
            f"data.client={toy.owner.tolist()}", "data.task=classes", "partition=natural",
            f"model.hidden=[{HIDDEN}]", "local.batch_size=0", "local.epochs=3",
            f"local.lr={toy.lr}", "clients.per_round=3", "rounds=5", "seed=3", *options,
        )  # fmt: skip
        algorithm, turns = experiment.federation.algorithm, []
        for event in play(experiment):
            steps = {entry["client"]: entry["steps"] for entry in event.clients}
            own = None
            if algorithm.personal:
                job = Job(event.state.round, np.arange(5), event.state.bank.take(range(5)))
                clients = clients_of(experiment.federation, job)
                message = expand(algorithm.message(event.state.server), 5)
                models = algorithm.personal(clients, message)
                own = [flat(row(models, k)) for k in range(5)]
            model = flat(event.state.server["model"])
            turns.append(Turn(sorted(steps), steps, model, own))
        start = experiment.state.server
        several = [[flat(model) for model in start[server].values()]] if server else []
        return flat(start["model"]), turns, *several

    return run
