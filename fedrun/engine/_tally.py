"""Sums of loss and right answers for each client of a chunk."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from fedrun.core.dataset import Array
from fedrun.core.task import Task


class Tally:
    """Scores the outputs of many steps at once, since every operation costs microseconds however
    little there is to do; and adds up on the CPU, where the order of a sum is always the same."""

    def __init__(self, task: Task, clients: int) -> None:
        self.task, self.clients = task, clients
        self.scores: list[Tensor] = []
        self.owners: list[Array] = []

    def add(self, outputs: Tensor, y: Tensor, owner: Array) -> None:
        """outputs and y of examples [N, ...]; owner int64 [N]: the client of each."""
        loss = self.task.loss(outputs, y).double()
        correct = self.task.correct(outputs, y).double()
        self.scores.append(torch.stack([loss, correct]))
        self.owners.append(owner)

    def total(self) -> Tensor:
        """float64 [C, 3]: sums of loss, right answers and examples."""
        owner = np.concatenate(self.owners)
        loss, correct = torch.cat(self.scores, 1).cpu().numpy()
        sums = [np.bincount(owner, part, self.clients) for part in (loss, correct, None)]
        return torch.from_numpy(np.stack(sums, axis=1).astype(np.float64))
