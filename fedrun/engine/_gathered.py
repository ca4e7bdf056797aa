"""A chunk in lockstep on a CPU: tables made once, examples gathered for many steps at once, and
every step on views of exactly the clients that take part."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from fedrun.core.local import Local, Tensors
from fedrun.core.plan import ChunkPlan
from fedrun.core.task import Examples, Task
from fedrun.engine._lockstep import Lockstep
from fedrun.engine._objective import Terms
from fedrun.engine._stacked_network import Model
from fedrun.engine._stacked_updates import rate, update_for
from fedrun.engine._stage import Stage, sorted_by
from fedrun.engine._tally import Tally

BLOCK_BYTES = 1 << 22  # of gathered examples: they stay in the cache until they are used


def gathered(
    task: Task,
    examples: Examples,
    local: Local,
    model: Model,
    plan: ChunkPlan,
    start: Tensors,
    terms: Terms,
    lr: float,
) -> tuple[Tensors, Tensor]:
    """Train a chunk: parameters [C, ...] and float64 [C, 3], sums of loss, right answers and
    examples."""
    lockstep = Lockstep.of(plan)
    order = torch.from_numpy(lockstep.order)
    params = sorted_by(start, order)
    update = update_for(params, local, terms.map(lambda leaves: sorted_by(leaves, order)), lr)
    state = local.init(params) if local.sgd is None else []
    weight = torch.from_numpy(lockstep.weight(rate(local, lr))).to(params[0].dtype)
    tally = Tally(task, len(order))
    stage = None
    t = 0
    for steps, places in lockstep.blocks(room(examples, lockstep)):
        rows = torch.from_numpy(lockstep.rows[places])
        x, y = (
            part.index_select(0, rows.view(-1)).unflatten(0, rows.shape)
            for part in (examples.x, examples.y)
        )
        sizes = lockstep.size[steps].tolist()
        parts = (part.split(sizes) for part in (x, model.target(y), weight[places]))
        outputs = []
        for count, *batch in zip(sizes, *parts, strict=True):
            if stage is None or stage.count != count:
                stage = Stage(model, params, update, count)
            outputs.append(stage(*batch))
            t += 1
            stage.step(local, stage.left, state, t, lr)
        score(tally, lockstep, places, torch.cat(outputs), y)
    return sorted_by(params, torch.argsort(order)), tally.total()


def room(examples: Examples, lockstep: Lockstep) -> int:
    """Places whose examples are gathered at once."""
    row_bytes = examples.x[:1].numel() * examples.x.element_size()
    return max(1, BLOCK_BYTES // max(1, row_bytes * lockstep.rows.shape[1]))


def score(tally: Tally, lockstep: Lockstep, places: slice, outputs: Tensor, y: Tensor) -> None:
    """The outputs of some steps [P, B, ...] without their padding."""
    owner = np.repeat(lockstep.client[places], lockstep.length[places])
    outputs, y = outputs.flatten(0, 1), y.flatten(0, 1)
    if not lockstep.full:
        real = torch.from_numpy(np.flatnonzero(lockstep.real[places]))
        outputs, y = outputs.index_select(0, real), y.index_select(0, real)
    tally.add(outputs, y, owner)
