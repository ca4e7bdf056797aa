"""Local steps that hide each example (DP-SGD; Abadi et al., "Deep learning with differential
privacy", CCS 2016, algorithm 1), with the terms of the objective and the optimiser of any method.

| paper | here |
| --- | --- |
| L, q = L / N | the mean size of a batch, `ChunkPlan.expected`; the chance of a row to be in it |
| C, sigma | clip_norm, noise_multiplier |

In each step the gradients of F_k of the batch's examples are clipped, over all trained parameters
together, and summed; noise is added (`_noise`); and the sum is divided by the *mean* size, which
tells nothing of the size that the batch had. What follows - drift, pull, weight decay, momentum,
Adam - sees the gradient after that, and the model: post-processing.

Differs: `local.clip_norm`, which would shorten the noised gradient, is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cache, partial

import torch
from torch import Tensor

from fedrun.core.algorithm import Objective, Trained
from fedrun.core.federation import Solver
from fedrun.core.layout import takes_channels_last
from fedrun.core.local import Local
from fedrun.core.option import ConfigError
from fedrun.core.plan import ChunkPlan, ClientPlan
from fedrun.core.poisson_plan import stream_of
from fedrun.core.privacy import PrivateSteps, Stream
from fedrun.core.task import Examples, Task
from fedrun.core.tree import Tree, row, stack
from fedrun.engine._batches import batches
from fedrun.engine._captured import captured
from fedrun.engine._clipped_sum import Way
from fedrun.engine._compiler import UnavailableError
from fedrun.engine._draws import draws_while_training, lent_generator
from fedrun.engine._ghost import ghost
from fedrun.engine._noise import Noise
from fedrun.engine._objective import Terms
from fedrun.engine._per_example import can_be_lifted, lifted, one_by_one
from fedrun.engine._private_kernel import private_kernel
from fedrun.engine._separate import refuse_mixing
from fedrun.engine._sums import Sums
from fedrun.engine._whole_steps import WholeSteps, whole_steps


def private(
    task: Task, examples: Examples, local: Local, compiled: bool = False
) -> Callable[[PrivateSteps], Callable[[ChunkPlan], Solver]]:
    """`General.private`; a `ConfigError` for what it cannot train.

    compiled: leave whole clients to the compiled kernel where it knows the model.
    """

    @cache
    def whole() -> WholeSteps | None:
        try:
            return whole_steps(task, examples, local) if compiled else None
        except UnavailableError:
            return None

    @cache  # most runs never ask for it
    def at_hand() -> Trainer:
        images_last = takes_channels_last(task)
        draws = draws_while_training(task)
        return Trainer(task, examples, local, way_of(task), images_last, draws)

    @cache
    def checked() -> None:
        if local.clip_norm is not None:
            raise ConfigError(
                f"local.clip_norm={local.clip_norm:g} would shorten gradients that privacy=example "
                f"has clipped and noised; leave it null and set privacy.clip_norm"
            )
        refuse_mixing(task)

    def with_steps(steps: PrivateSteps) -> Callable[[ChunkPlan], Solver]:
        checked()
        return partial(solver, steps)

    def solver(steps: PrivateSteps, plan: ChunkPlan) -> Solver:
        def solve(
            start: Tree,
            *,
            drift: Tree | None = None,
            anchor: Tree | None = None,
            mu: float = 0.0,
            only: Collection[str] | None = None,
            objective: Objective | None = None,
            context: Tree | None = None,
        ) -> Trained:
            assert objective is None, "no objective of its own can be clipped example by example"
            lr = local.lr(plan.round - 1)
            free = [name for name in task.parameters if only is None or name in only]
            weigh = local.displacement and partial(local.displacement, lr=lr)
            if (kernel := whole()) and kernel.takes(start, free, steps):
                trained, seen_C = kernel.train(start, free, steps, plan, drift, anchor, mu, lr)
                return Trained(trained, torch.from_numpy(plan.steps), seen_C, weigh)
            trainer = at_hand()
            ends, sums = [], []
            for index, client in enumerate(plan.clients):
                terms = Terms(flat(drift, index, free), flat(anchor, index, free), mu)
                end, seen = trainer.train(
                    row(start, index), free, steps, plan, index, client, terms, lr
                )
                ends.append(end)
                sums.append(seen)
            return Trained(stack(ends), torch.from_numpy(plan.steps), torch.stack(sums), weigh)

        return solve

    return with_steps


def way_of(task: Task) -> Way:
    """The fastest way that this model knows."""
    known = ghost(task) or captured(task)
    return known or (lifted(task) if can_be_lifted(task) else one_by_one(task))


def private_how(task: Task, examples: Examples, local: Local, compiled: bool = False) -> str:
    """The way that gradients and noise go, which decides their bits: `ghost, compiled`."""
    why = ""
    if compiled:
        try:
            whole_steps(task, examples, local)
            return "private: compiled kernel"
        except UnavailableError as reason:
            why = f" ({reason})"
    first = next(iter(task.parameters.values()))
    on_cpu = first.device.type == "cpu" and first.dtype in (torch.float32, torch.float64)
    noise = "compiled" if on_cpu and private_kernel() else "PyTorch's noise"
    return f"private: {way_of(task).name}, {noise}{why}"


@dataclass(frozen=True)
class Trainer:
    """What is the same for every client. draws: whether the model does while it trains."""

    task: Task
    examples: Examples
    local: Local
    way: Way
    images_last: bool
    draws: bool

    def train(
        self,
        start: Tree,
        free: list[str],
        steps: PrivateSteps,
        plan: ChunkPlan,
        index: int,
        client: ClientPlan,
        terms: Terms,
        lr: float,
    ) -> tuple[Tree, Tensor]:
        """One client's parameters at the end, and float64 [3]: sums of loss, right answers and
        examples."""
        assert plan.expected is not None, "batches that were not drawn by coins"
        divisor = float(plan.expected[index])
        # all that is trained as one vector, of which the parameters are views
        vector = torch.cat([start[name].reshape(-1) for name in free])
        params = {**start, **views(vector, start, free)}
        total = torch.zeros(len(vector), dtype=torch.float64, device=vector.device)
        parts = views(total, start, free)
        noise = Noise.of(steps, vector)
        stream = stream_of(steps.streams, "noise", plan.round, client.client, plan.turn)
        state, sums = self.local.init([vector]), Sums(self.task)
        with torch.no_grad(), self.masks(steps, plan, client):
            for t, (x, y) in enumerate(self.batches(client), start=1):
                total.zero_()
                for at in range(0, len(y), self.way.rows):
                    part = slice(at, at + self.way.rows)
                    outputs = self.way.sum(params, x[part], y[part], steps.clip_norm, parts)
                    sums.add(outputs, y[part])
                grads = [noise.added(total, stream, divisor, vector)]
                self.local.step([vector], terms.gradient(grads, [vector]), state, t, lr)
        return Tree((name, params[name]) for name in start), sums.total()

    def batches(self, client: ClientPlan) -> Iterator[tuple[Tensor, Tensor]]:
        rows = torch.from_numpy(client.rows).to(self.examples.y.device)
        return batches(self.examples, rows, client.bounds.tolist(), self.images_last)

    def masks(
        self, steps: PrivateSteps, plan: ChunkPlan, client: ClientPlan
    ) -> AbstractContextManager[None]:
        """What dropout draws is secret too: were it known, one more example in a batch would give
        those behind it other masks, and so move the sum by more than the clip norm."""
        if not self.draws:
            return nullcontext()
        stream: Stream = stream_of(steps.streams, "mask", plan.round, client.client, plan.turn)
        return lent_generator(int(stream.uniform(1)[0] * 2**53))


def flat(tree_C: Tree | None, index: int, names: list[str]) -> list[Tensor] | None:
    """One client's leaves of these names as one vector."""
    if tree_C is None:
        return None
    return [torch.cat([tree_C[name][index].reshape(-1) for name in names])]


def views(vector: Tensor, like: Tree, names: list[str]) -> dict[str, Tensor]:
    """The vector in pieces, shaped as the leaves of these names."""
    pieces = vector.split([like[name].numel() for name in names])
    return {name: p.view(like[name].shape) for name, p in zip(names, pieces, strict=True)}
