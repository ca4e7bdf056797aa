"""One client at a time, forward and backward written out: no autograd, no Python inside a step
where a compiler is at hand.

Under SGD, chains of linear layers and ReLU, with the usual convolutions in front of them or not
(`_shapes`), and LSTMs between an embedding and a linear layer (`_recurrent`) are trained by a
kernel in C++ that is compiled for this machine at first use (`_kernel`, `_compiler`). Other
networks and optimisers, and machines without a compiler, take the same passes in PyTorch's
operations (`_network`), LSTMs autograd.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from fedrun.core.algorithm import Minimise, Trained
from fedrun.core.federation import Engine
from fedrun.core.local import Local
from fedrun.core.option import ConfigError, Count, Size
from fedrun.core.plan import ChunkPlan
from fedrun.core.task import Examples, Task
from fedrun.core.tree import Tree, row
from fedrun.engine._compiler import UnavailableError
from fedrun.engine._general import general
from fedrun.engine._kernel import Kernel, network_kernel
from fedrun.engine._network import Pass, written_network
from fedrun.engine._objective import as_terms
from fedrun.engine._recurrent import Recurrent, recurrent, recurrent_kernel
from fedrun.engine._shapes import Shapes, shapes
from fedrun.engine._workers import open_workers
from fedrun.engine.eager import eager, trained

COMPILED = "compiled kernel"
AUTOGRAD = "autograd"


def native(
    task: Task, examples: Examples, local: Local, seed: int, *, workers: Count = 1, chunk: Size = 0
) -> Engine:
    """Train whole clients without autograd; fastest on a CPU for the networks that it knows.

    workers: processes that train clients side by side, one thread each; results do not depend on
    it.
    chunk: clients per unit of work; 0 cuts the cohort into about 16 parts, fewer where they are
    tiny.
    """
    kernel, why = None, "the kernel knows no such layers"
    known = shapes(task) or recurrent(task)
    if known and local.sgd is None:
        why = f"the kernel knows no local={local.name}"
    elif known:
        try:
            kernel = kernel_of(task, known)
        except UnavailableError as reason:
            why = str(reason)
    if known and kernel:
        products, answer, names = known.products, kernel.answer, list(task.parameters)
        return Engine(
            name="native",
            how=COMPILED,
            solver=compiled(task, examples, local, kernel),
            general=general(task, examples, local, seed, compiled=True),
            chunk_size=lambda cohort, steps: chunk or chunk_size(products, local, cohort, steps),
            open=lambda work: open_workers(work, workers),
            answer=lambda model, x: answer([model[name] for name in names], x),
        )
    if isinstance(known, Recurrent):
        plain = eager(task, examples, local, seed, workers=workers, chunk=chunk)
        return replace(plain, name="native", how=AUTOGRAD, why=why)
    written = written_network(task)
    if written is None:
        raise ConfigError(
            "engine=native trains a Sequential of Conv2d, ReLU, MaxPool2d, Flatten and Linear, or "
            "Embedding, LSTM and Linear, on the CPU, and this model is another; take engine=auto"
        )
    return Engine(
        name="native",
        how="PyTorch operations",
        why=why,
        solver=one_by_one(task, examples, local, written),
        general=general(task, examples, local, seed),
        chunk_size=lambda cohort, steps: chunk or min(16, -(-cohort // 16)),
        open=lambda work: open_workers(work, workers),
    )


def kernel_of(task: Task, known: Shapes | Recurrent) -> Kernel | None:
    return recurrent_kernel(known) if isinstance(known, Recurrent) else network_kernel(task, known)


def compiled(task: Task, examples: Examples, local: Local, kernel: Kernel):  # type: ignore[no-untyped-def]
    """The solver that hands a whole chunk to the kernel."""
    names, sgd = list(task.parameters), local.sgd
    assert sgd is not None
    examples = Examples(examples.x.contiguous(), examples.y.contiguous())

    def solver(plan: ChunkPlan) -> Minimise:
        def solve(
            start: Tree, *, drift: Tree | None = None, anchor: Tree | None = None, mu: float = 0.0
        ) -> Trained:
            lr = local.lr(plan.round - 1)
            params = [start[name] for name in names]
            terms = as_terms(names, drift, anchor, mu)
            sums = kernel.train(params, plan, examples, sgd, local.clip_norm, terms, lr)
            trained_C = Tree(zip(names, params, strict=True))
            return trained(local, lr, trained_C, plan, torch.from_numpy(sums))

        return solve

    return solver


def one_by_one(task: Task, examples: Examples, local: Local, written: Pass):  # type: ignore[no-untyped-def]
    """The solver that runs the written-out pass for one client after the other."""
    names = list(task.parameters)

    def solver(plan: ChunkPlan) -> Minimise:
        def solve(
            start: Tree, *, drift: Tree | None = None, anchor: Tree | None = None, mu: float = 0.0
        ) -> Trained:
            lr = local.lr(plan.round - 1)
            params_C = start.map(lambda leaf: leaf.clone(memory_format=torch.contiguous_format))
            sums = torch.zeros(len(plan.client), 3, dtype=torch.float64)
            for index, client in enumerate(plan.clients):
                terms = as_terms(
                    names, drift and row(drift, index), anchor and row(anchor, index), mu
                )
                params = [params_C[name][index] for name in names]
                rows = torch.from_numpy(client.rows)
                bounds = client.bounds.tolist()
                sums[index] = written(params, examples, rows, bounds, local, terms, lr)
            return trained(local, lr, params_C, plan, sums)

        return solve

    return solver


def chunk_size(products: int, local: Local, cohort: int, steps: float) -> int:
    """A sixteenth of the cohort, or as many clients as take about half a millisecond.

    A chunk costs a tenth of a millisecond beside the training. The estimate rests on the config
    alone, so that it is the same on every machine.

    products: multiplications of an example's forward pass.
    """
    seconds = steps * (1e-6 + 3e-11 * products * (local.work.batch_size or 256))
    return min(cohort, max(-(-cohort // 16), int(5e-4 / seconds)))
