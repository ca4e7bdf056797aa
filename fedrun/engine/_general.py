"""What plain autograd does for every engine: other objectives, frozen parameters, and losses and
gradients over all that a client holds. One client at a time."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import nullcontext
from functools import cache, partial

import numpy as np
import torch
from torch import Tensor

from fedrun.core.algorithm import Losses, Objective, Trained
from fedrun.core.dataset import Array
from fedrun.core.federation import General, Solver
from fedrun.core.layout import channels_last, takes_channels_last
from fedrun.core.local import Local, Tensors
from fedrun.core.plan import ChunkPlan, ClientPlan
from fedrun.core.random import torch_seed
from fedrun.core.task import Examples, Task
from fedrun.core.tree import Tree, flatten, row, stack, unflatten
from fedrun.engine._batches import batches
from fedrun.engine._draws import draws_while_training, lent_generator
from fedrun.engine._objective import Terms, clipped
from fedrun.engine._one_example import one_example_told
from fedrun.engine._own_task import OwnTask
from fedrun.engine._private import private, private_how

ROWS = 1000  # of a gradient or loss over a whole set at once


def general(
    task: Task, examples: Examples, local: Local, seed: int, compiled: bool = False
) -> General:
    """`General` over these examples. compiled: as in `private`."""
    names, statistics = list(task.parameters), set(task.buffers)

    @cache  # most methods never ask for it
    def at_hand() -> tuple[OwnTask, bool, bool]:
        images_last = takes_channels_last(task)
        return OwnTask(task, images_last), images_last, draws_while_training(task)

    def solver(plan: ChunkPlan) -> Solver:
        def solve(
            start: Tree,
            *,
            drift: Tree | None,
            anchor: Tree | None,
            mu: float,
            only: Collection[str] | None,
            objective: Objective | None,
            context: Tree | None,
        ) -> Trained:
            own, images_last, draws = at_hand()
            lr = local.lr(plan.round - 1)
            ends, sums = [], []
            for index, client in enumerate(plan.clients):
                params = {name: leaf.clone() for name, leaf in flatten(row(start, index)).items()}
                free = [
                    name
                    for name in params
                    if (only is None or name in only) and name.rpartition("/")[2] not in statistics
                ]
                of_free = partial(chosen, index, free)
                terms = Terms(of_free(drift), of_free(anchor), mu)
                loss = objective or own_loss
                mine = Tree() if context is None else row(context, index)
                stream = torch_seed(seed, "layer", plan.round, client.client, plan.turn)
                with lent_generator(stream) if draws else nullcontext():
                    sums.append(
                        train(
                            own.task, loss, mine, params, free, examples, local, client, terms, lr,
                            images_last,
                        )
                    )  # fmt: skip
                ends.append(unflatten(params))
            weigh = local.displacement and partial(local.displacement, lr=lr)
            return Trained(stack(ends), torch.from_numpy(plan.steps), torch.stack(sums), weigh)

        return solve

    def measure(params_C: Tree, rows: Sequence[Array], wanted: bool) -> tuple[Tensor, list[Tree]]:
        own, images_last, _ = at_hand()
        losses, gradients = [], []
        own.task.module.eval()
        for index, mine in enumerate(rows):
            own.task.load(row(params_C, index))
            leaves = list(own.task.parameters.values())
            total, gradient = (
                torch.zeros((), dtype=torch.float64),
                list(map(torch.zeros_like, leaves)),
            )
            for part in np.array_split(mine, -(-len(mine) // ROWS)):
                at = torch.from_numpy(part).to(examples.y.device)
                x, y = examples.x[at], examples.y[at]
                with torch.set_grad_enabled(wanted):
                    outputs = own.task.module(channels_last(x) if images_last else x)
                    loss = own.task.loss(outputs, y).sum()
                if wanted:
                    found = torch.autograd.grad(loss, leaves, materialize_grads=True)
                    torch._foreach_add_(gradient, list(found))
                total += loss.detach().double().cpu()
            losses.append(total / len(mine))
            torch._foreach_div_(gradient, float(len(mine)))
            gradients.append(Tree(zip(names, gradient, strict=True)))
        own.task.module.train()
        return torch.stack(losses), gradients

    def gradient(params_C: Tree, rows: Sequence[Array]) -> tuple[Tensor, Tree]:
        losses, gradients = measure(params_C, rows, True)
        return losses, stack(gradients)

    return General(
        solver=solver,
        loss=lambda params_C, rows: measure(params_C, rows, False)[0],
        gradient=gradient,
        private=private(task, examples, local, compiled),
        private_how=partial(private_how, task, examples, local, compiled),
    )


def chosen(index: int, names: list[str], tree_C: Tree | None) -> Tensors | None:
    """One client's leaves of these names."""
    if tree_C is None:
        return None
    leaves = flatten(row(tree_C, index))
    return [leaves[name] for name in names]


def own_loss(task: Task, params: Tree, context: Tree, x: Tensor, y: Tensor) -> Losses:
    """The task's own."""
    outputs = task.outputs(params, x)
    return Losses(task.loss(outputs, y), outputs, y)


def train(
    task: Task,
    objective: Objective,
    context: Tree,
    params: dict[str, Tensor],
    free: list[str],
    examples: Examples,
    local: Local,
    plan: ClientPlan,
    terms: Terms,
    lr: float,
    images_last: bool,
) -> Tensor:
    """Train those of `params` that are free, in place, and let running statistics run; float64 [3]:
    sums of loss, right answers and examples."""
    leaves = [params[name].requires_grad_() for name in free]
    state = local.init([leaf.detach() for leaf in leaves])
    rows = torch.from_numpy(plan.rows).to(examples.y.device)
    given, sums = unflatten(params), torch.zeros(3, dtype=torch.float64)
    for t, (x, y) in enumerate(batches(examples, rows, plan.bounds.tolist(), images_last), start=1):
        with one_example_told():
            losses = objective(task, given, context, x, y)
        grads = list(torch.autograd.grad(losses.of_each.mean(), leaves, materialize_grads=True))
        with torch.no_grad():
            right = task.correct(losses.outputs, losses.y).sum()
            sums += torch.tensor([losses.of_each.sum().item(), right.item(), len(losses.y)])
            grads = terms.gradient(grads, leaves)
            if local.clip_norm is not None:
                grads = clipped(grads, local.clip_norm)
            local.step(leaves, grads, state, t, lr)
    for leaf in leaves:
        leaf.requires_grad_(False)
    return sums
