"""A client's sums of loss and right answers, reckoned for many steps at once."""

from __future__ import annotations

import torch
from torch import Tensor

from fedrun.core.local import Tensors
from fedrun.core.task import Task

ROOM = 1 << 16  # numbers of outputs that are kept before they are reckoned


class Sums:
    """The outputs of many small batches are scored together, because each operation costs
    microseconds however little there is to do."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.sums = torch.zeros(3, dtype=torch.float64)
        self.outputs: Tensors = []
        self.targets: Tensors = []
        self.size = 0

    def add(self, outputs: Tensor, y: Tensor) -> None:
        self.outputs.append(outputs.detach())
        self.targets.append(y)
        self.size += outputs.numel()
        if self.size > ROOM:
            self._reckon()

    def total(self) -> Tensor:
        """float64 [3]: sums of loss, right answers and examples."""
        self._reckon()
        return self.sums

    def _reckon(self) -> None:
        if self.outputs:
            outputs, y = torch.cat(self.outputs), torch.cat(self.targets)
            loss = self.task.loss(outputs, y).sum(dtype=torch.float64)
            correct = self.task.correct(outputs, y).sum(dtype=torch.float64)
            self.sums += torch.stack([loss, correct, loss.new_tensor(len(y))]).cpu()
            self.outputs, self.targets, self.size = [], [], 0
