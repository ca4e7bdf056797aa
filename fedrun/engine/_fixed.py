"""Chunks in lockstep on tensors that stay where they are, so that a step can be replayed: the GPU's
way. Everything but the replay itself runs on a CPU as well.

A step has a power of two of places, and so a handful of graphs serve all steps of all rounds. The
places beyond the active clients go on training, on a weight of 0, in tensors that nobody reads any
more: what a client has learnt is taken out when it has done its last step.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor

from fedrun.core.local import Local, Tensors
from fedrun.core.plan import ChunkPlan
from fedrun.core.task import Examples, Task
from fedrun.engine._lockstep import Lockstep, powers_of_two
from fedrun.engine._objective import Terms
from fedrun.engine._replay import Replay
from fedrun.engine._stacked_network import Model
from fedrun.engine._stacked_updates import rate, update_for
from fedrun.engine._stage import Stage
from fedrun.engine._tables import Tables, sent
from fedrun.engine._tally import Tally


class Fixed:
    """Trains any number of chunks of one kind: at most `capacity` clients with batches of at most
    `width`, and the terms that `terms` has."""

    def __init__(
        self,
        task: Task,
        examples: Examples,
        local: Local,
        model: Model,
        replay: Replay,
        capacity: int,
        width: int,
        terms: Terms,
    ) -> None:
        self.task, self.local, self.model, self.replay = task, local, model, replay
        self.capacity, self.width = capacity, width
        leaves = list(task.parameters.values())

        def buffers() -> Tensors:
            return [p.new_zeros(capacity, *p.shape, requires_grad=False) for p in leaves]

        self.params = buffers()
        own = terms.map(lambda given: buffers())
        self.update = update_for(self.params, local, own, 1.0)
        self.tables = Tables(task, examples, capacity, width)
        self.stages: dict[int, Stage] = {}

    def train(
        self, plan: ChunkPlan, start: Tensors, terms: Terms, lr: float
    ) -> tuple[Tensors, Tensor]:
        """Parameters [C, ...] and float64 [C, 3], sums of loss, right answers and examples."""
        lockstep = Lockstep.of(plan, self.capacity, self.width)
        clients = len(lockstep.order)
        device = self.params[0].device
        order = sent(torch.from_numpy(lockstep.order), device)
        for count in np.unique(lockstep.size).tolist():  # first: what runs here may be anything
            if count not in self.stages:
                self.stages[count] = Stage(self.model, self.params, self.update, count)
            self.replay.prepare(count, partial(self.step, count), self.tables.rewind)
        for own, given in zip(self.params, start, strict=True):
            own[:clients].copy_(given.index_select(0, order))
        self.update.load(
            terms.map(lambda leaves: [leaf.index_select(0, order) for leaf in leaves]), lr
        )
        state = self.local.init(self.params) if self.local.sgd is None else []
        trained = [torch.empty_like(p[:clients]) for p in self.params]
        weight = torch.from_numpy(lockstep.weight(rate(self.local, lr))).to(self.params[0].dtype)
        tally = Tally(self.task, clients)
        after = np.append(lockstep.active[1:], 0).tolist()
        active, sizes = lockstep.active.tolist(), lockstep.size.tolist()
        for steps, places in lockstep.blocks(self.tables.places):
            self.tables.load(lockstep.rows[places], weight[places])
            for t in range(steps.start, steps.stop):
                grads = self.replay(sizes[t])
                self.stages[sizes[t]].step(self.local, grads, state, t + 1, lr)
                if after[t] < active[t]:
                    done = slice(after[t], active[t])
                    torch._foreach_copy_([p[done] for p in trained], [p[done] for p in self.params])
            self.tables.score(tally, lockstep, places)
        back = torch.argsort(order)
        return [leaf.index_select(0, back) for leaf in trained], tally.total()

    def step(self, count: int) -> Tensors | None:
        """One step on the examples that are next; nothing here looks at a number on the device."""
        stage = self.stages[count]
        here, x, y, weight = self.tables.read(count)
        outputs = stage(x, self.model.target(y), weight)
        self.tables.write(here, outputs)
        return stage.left


class Pool:
    """Keeps a `Fixed` for each kind of chunk that came along, the largest of its kind."""

    def __init__(self, make: Callable[[int, int, Terms], Fixed], batch_size: int) -> None:
        self.make, self.batch_size = make, batch_size
        self.kept: dict[tuple[int, bool, float | None], Fixed] = {}

    def fitting(self, plan: ChunkPlan, terms: Terms) -> Fixed:
        """For this chunk and these terms."""
        longest = int(powers_of_two(np.max(plan.end - plan.begin)))
        width = min(longest, self.batch_size) if self.batch_size else longest
        kind = (width, terms.drift is not None, None if terms.anchor is None else terms.mu)
        found = self.kept.get(kind)
        if found is None or found.capacity < len(plan.client):
            found = self.kept[kind] = self.make(len(plan.client), width, terms)
        return found
