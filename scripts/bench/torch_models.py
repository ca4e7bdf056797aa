"""The workloads' models in plain PyTorch, for the plain loop and the peers that use it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Characters(nn.Module):
    """Two LSTM layers; one output per place and symbol."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(90, 8)
        self.lstm = nn.LSTM(8, 256, 2, batch_first=True)
        self.out = nn.Linear(256, 90)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.lstm(self.embed(x))[0]).flatten(0, 1)


def model(name: str) -> nn.Module:
    """A new model of this workload; the first weights are PyTorch's, from seed 0."""
    torch.manual_seed(0)
    if name == "W1":
        return nn.Sequential(
            nn.Linear(784, 200), nn.ReLU(), nn.Linear(200, 200), nn.ReLU(), nn.Linear(200, 10)
        )
    if name == "W2":
        return nn.Sequential(
            nn.Conv2d(1, 32, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(32, 64, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(3136, 512), nn.ReLU(), nn.Linear(512, 10),
        )  # fmt: skip
    return nn.Linear(60, 10) if name == "W3" else Characters()


def loss(outputs: Tensor, y: Tensor) -> Tensor:
    return F.cross_entropy(outputs, y.flatten())
