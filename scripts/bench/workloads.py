"""The workloads that all contestants share. NumPy only, so that every environment can import it.

W1  2NN, 784-200-200-10: 100 clients of 600 examples, 10 a round, 5 epochs
W2  McMahan's CNN on 28x28 images: 100 clients of 600 examples, 10 a round, 1 epoch
W3  softmax regression, 60 to 10: 1,000 clients of 10 to 1,000 examples (Pareto), 100 a round
W4  character LSTM, 2 x 256 on 80 characters of 90: 50 clients of 10 to 400 examples, 10 a round

Batches of 10 everywhere, plain SGD. The data are random numbers of the real shapes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Workload:
    """shape: of one example; classes: of a label; tokens: x and y are symbols, y one per place.

    macs: multiply-adds of one example's forward pass, layer by layer.
    model: what fedrun calls it; rounds: timed ones, where nobody says how many.
    """

    shape: tuple[int, ...]
    classes: int
    clients: int
    cohort: int
    epochs: int
    lr: float
    macs: tuple[int, ...]
    model: str
    rounds: int
    tokens: bool = False
    batch_size: int = 10

    @property
    def flops(self) -> int:
        """Of one example's training step: forward, and two passes back; nobody needs the gradient
        of the first layer's input (embedded tokens have one)."""
        return 2 * (3 * sum(self.macs) - (0 if self.tokens else self.macs[0]))


WORKLOADS = {
    "W1": Workload(
        (784,), 10, 100, 10, 5, 0.1, (784 * 200, 200 * 200, 200 * 10), "mlp", 10
    ),
    "W2": Workload(
        (1, 28, 28), 10, 100, 10, 1, 0.1,
        (28 * 28 * 32 * 25, 14 * 14 * 64 * 32 * 25, 3136 * 512, 512 * 10), "cnn", 4,
    ),
    "W3": Workload((60,), 10, 1000, 100, 1, 0.1, (60 * 10,), "logistic", 50),
    "W4": Workload(
        (80,), 90, 50, 10, 1, 0.5,
        (80 * 1024 * 8, 80 * 1024 * 256, 80 * 1024 * 512, 80 * 256 * 90), "char_lstm", 4,
        tokens=True,
    ),
}  # fmt: skip


def sizes(name: str) -> np.ndarray:
    """int64 [clients]: how many examples each client holds."""
    draw = np.random.RandomState(7)
    count = WORKLOADS[name].clients
    if name == "W3":
        return np.clip(10 * (1 - draw.rand(count)) ** (-1 / 1.5), 10, 1000).astype(np.int64)
    if name == "W4":
        return np.clip(draw.lognormal(4.0, 0.7, count), 10, 400).astype(np.int64)
    return np.full(count, 600, np.int64)


def rows(name: str, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """x float32 [count, *shape] and y int64 [count]; tokens: both int64 [count, places]."""
    workload, draw = WORKLOADS[name], np.random.default_rng(seed)
    if workload.tokens:
        x = draw.integers(0, workload.classes, (count, *workload.shape))
        return x, draw.integers(0, workload.classes, (count, *workload.shape))
    x = draw.random((count, *workload.shape), np.float32)
    if name == "W3":
        x = draw.standard_normal((count, *workload.shape), np.float32)
    return x, draw.integers(0, workload.classes, count)


def clients(name: str) -> list[tuple[np.ndarray, np.ndarray]]:
    """x and y of every client, as views of one array each."""
    cuts = np.cumsum(sizes(name))
    x, y = rows(name, int(cuts[-1]), seed=0)
    return list(zip(np.split(x, cuts[:-1]), np.split(y, cuts[:-1]), strict=True))


def test_rows(name: str) -> tuple[np.ndarray, np.ndarray]:
    """The test set of `--evaluate`."""
    return rows(name, 10_000 if name in ("W1", "W2") else 1_000, seed=1)
