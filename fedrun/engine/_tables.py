"""Where a replayed step finds its examples: tables on the device, and a counter beside them.

The host fills in some steps at a time; each run of a step reads the counter, takes its rows from
the tables and the examples from the resident data, leaves its outputs, and moves the counter on.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from fedrun.core.dataset import Array
from fedrun.core.task import Examples, Task
from fedrun.engine._lockstep import Lockstep
from fedrun.engine._tally import Tally

BYTES = 1 << 26  # of outputs that are kept before they are scored
STEPS = 256  # at most, between two visits of the host


class Tables:
    """places: of all steps that are filled in at a time."""

    def __init__(self, task: Task, examples: Examples, capacity: int, width: int) -> None:
        like = next(iter(task.parameters.values()))
        shape = task.spec.output_shape
        step_bytes = capacity * width * int(np.prod(shape)) * like.element_size()
        self.places = capacity * max(1, min(STEPS, BYTES // max(step_bytes, 1)))
        self.examples, self.width = examples, width
        device = like.device
        self.rows = torch.zeros(self.places, width, dtype=torch.int64, device=device)
        self.weight = torch.zeros(self.places, width, dtype=like.dtype, device=device)
        self.outputs = torch.zeros(self.places, width, *shape, dtype=like.dtype, device=device)
        self.at = torch.zeros(1, dtype=torch.int64, device=device)
        self.place = torch.arange(capacity, device=device)

    def rewind(self) -> None:
        self.at.zero_()

    def load(self, rows: Array, weight: Tensor) -> None:
        """Fill in neighbouring steps: rows int64 [P, B], weight [P, B] on the CPU."""
        self.rewind()
        self.rows[: len(rows)].copy_(sent(torch.from_numpy(rows), self.rows.device))
        self.weight[: len(rows)].copy_(sent(weight, self.rows.device))

    def read(self, count: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Of the step that is next, with this many places: which they are in the tables, and
        x, y, weight [k, B, ...]."""
        here = self.at + self.place[:count]
        rows = self.rows.index_select(0, here).view(-1)
        shape = (count, self.width)
        x = self.examples.x.index_select(0, rows).unflatten(0, shape)
        y = self.examples.y.index_select(0, rows).unflatten(0, shape)
        return here, x, y, self.weight.index_select(0, here)

    def write(self, here: Tensor, outputs: Tensor) -> None:
        """Leave the outputs of this step, and go on to the next."""
        self.outputs.index_copy_(0, here, outputs)
        self.at.add_(len(here))

    def score(self, tally: Tally, lockstep: Lockstep, places: slice) -> None:
        """Hand the outputs of all steps that were filled in to the tally, without their padding."""
        real = lockstep.real[places]
        device = self.rows.device
        which = sent(torch.from_numpy(np.flatnonzero(real)), device)
        rows = sent(torch.from_numpy(lockstep.rows[places][real]), device)
        outputs = self.outputs.flatten(0, 1).index_select(0, which)
        owner = np.repeat(lockstep.client[places], lockstep.length[places])
        tally.add(outputs, self.examples.y.index_select(0, rows), owner)


def sent(tensor: Tensor, device: torch.device) -> Tensor:
    """A tensor of the CPU on the device, without waiting for what the device is doing."""
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor
