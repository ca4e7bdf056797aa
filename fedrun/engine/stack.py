"""A chunk of clients in lockstep: every operation works on all of them at once.

Clients are sorted by their number of steps, so at step t the active ones are the first k, a
shrinking prefix of every stacked tensor, and nobody is masked. Only batches that are shorter than
another client's in the same step are padded, with weight 0.

Chains of linear layers and ReLU get a hand-written forward and backward pass (`_chain_gradient`);
other models are lifted with `torch.func.vmap`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from fedrun.core.algorithm import Solve, Trained
from fedrun.core.dataset import Array
from fedrun.core.federation import Engine
from fedrun.core.local import Local
from fedrun.core.option import ConfigError, Count, Size
from fedrun.core.plan import ChunkPlan
from fedrun.core.task import Examples, Task
from fedrun.core.tree import Tree
from fedrun.engine._chain_gradient import chain_gradient
from fedrun.engine._draws import draws_while_training
from fedrun.engine._lifted_gradient import lifted_gradient
from fedrun.engine._objective import as_terms, clipped_each
from fedrun.engine._workers import open_workers
from fedrun.engine.eager import trained


def stack(
    task: Task, examples: Examples, local: Local, *, workers: Count = 1, chunk: Size = 0
) -> Engine:
    """Train a chunk of clients in lockstep; fastest for small models and many clients.

    workers: processes that train chunks side by side, one thread each; results do not depend on it.
    chunk: clients in lockstep; 0 cuts the cohort into 4 parts, or more of at most 64 clients.
    """
    if draws_while_training(task):
        raise ConfigError(
            "engine=stack has no random stream for each client, and this model draws while it "
            "trains (dropout?); take engine=eager"
        )
    names = list(task.parameters)
    gradient = chain_gradient(task) or lifted_gradient(task)

    def solver(plan: ChunkPlan) -> Solve:
        def solve(
            start: Tree, *, drift: Tree | None = None, anchor: Tree | None = None, mu: float = 0.0
        ) -> Trained:
            lr = local.lr(plan.round - 1)
            lockstep = Lockstep.of(plan)
            order = torch.from_numpy(lockstep.order)

            def sorted_(tree: Tree) -> Tree:
                return tree.map(lambda leaf: leaf.index_select(0, order.to(leaf.device)))

            stacked = sorted_(start)
            params = [stacked[name] for name in names]
            terms = as_terms(names, drift and sorted_(drift), anchor and sorted_(anchor), mu)
            state = local.init(params)
            sums = torch.zeros(len(plan.client), 3, dtype=torch.float64)
            for t in range(int(lockstep.steps[0])):
                rows_CB, weight_CB = lockstep.batch(t)
                count = len(rows_CB)
                rows = torch.from_numpy(rows_CB.ravel()).to(examples.y.device)
                x = examples.x.index_select(0, rows).unflatten(0, rows_CB.shape)
                y = examples.y.index_select(0, rows).unflatten(0, rows_CB.shape)
                active = [p[:count] for p in params]
                weight = torch.from_numpy(weight_CB).to(x.device, x.dtype)
                grads, loss_CB, correct_CB = gradient(active, x, y, weight)
                real = weight > 0
                sums[:count, 0] += torch.where(real, loss_CB, 0).sum(1, dtype=torch.float64).cpu()
                sums[:count, 1] += (correct_CB & real).sum(1).cpu()
                sums[:count, 2] += real.sum(1).cpu()
                grads = terms.first(count).gradient(grads, active)
                if local.clip_norm is not None:
                    grads = clipped_each(grads, local.clip_norm)
                local.step(active, grads, [s[:count] for s in state], t + 1, lr)
            back = torch.argsort(order)
            trained_C = [leaf.index_select(0, back.to(leaf.device)) for leaf in params]
            params_C = Tree(zip(names, trained_C, strict=True))
            return trained(local, lr, params_C, plan.steps.tolist(), sums[back])

        return solve

    return Engine(
        solver=solver,
        chunk_size=lambda cohort: chunk or min(64, -(-cohort // 4)),
        open=lambda work: open_workers(work, workers),
    )


@dataclass(frozen=True)
class Lockstep:
    """order: int64 [C], clients by falling number of steps; steps, first: int64 [C] in that order,
    how many steps each takes and where they begin in the plan."""

    plan: ChunkPlan
    order: Array
    steps: Array
    first: Array

    @classmethod
    def of(cls, plan: ChunkPlan) -> Lockstep:
        order = np.argsort(-plan.steps, kind="stable")
        return cls(plan, order, plan.steps[order], plan.first[:-1][order])

    def batch(self, t: int) -> tuple[Array, Array]:
        """Rows int64 [k, B] and weights float64 [k, B] of step t: 1 / length, 0 on the padding."""
        count = int(np.searchsorted(-self.steps, -t, side="left"))
        step = self.first[:count] + t
        begin = self.plan.begin[step, None]
        length = self.plan.end[step, None] - begin
        place = np.arange(length.max())
        rows = self.plan.rows[begin + np.minimum(place, length - 1)]
        return rows, np.where(place < length, 1.0 / length, 0.0)
