"""Local steps that hide each example, whole clients by the compiled kernel: what `_private` does
layer by layer, in one pass over the parameters a step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fedrun.core.local import SGD, Local, Tensors
from fedrun.core.plan import ChunkPlan
from fedrun.core.poisson_plan import stream_of
from fedrun.core.privacy import PrivateSteps
from fedrun.core.task import Examples, Task
from fedrun.core.tree import Tree
from fedrun.engine._compiler import UnavailableError
from fedrun.engine._noise import grid
from fedrun.engine._objective import Terms
from fedrun.engine._private_network import Hiding, PrivateNetwork, private_network

MOST = 2.0**27  # grid steps of the noise's deviation: 10.2 times that, and the sum, fit int32


@dataclass(frozen=True)
class WholeSteps:
    """names: of the parameters, in the kernel's order."""

    network: PrivateNetwork
    examples: Examples
    sgd: SGD
    names: list[str]

    def takes(self, start: Tree, free: list[str], steps: PrivateSteps) -> bool:
        """Whether this noise is not wider than the kernel can hold."""
        return self.grid(start, free, steps)[1] <= MOST

    def grid(self, start: Tree, free: list[str], steps: PrivateSteps) -> tuple[float, float]:
        return grid(steps, sum(start[name][0].numel() for name in free))

    def train(
        self,
        start: Tree,
        free: list[str],
        steps: PrivateSteps,
        plan: ChunkPlan,
        drift: Tree | None,
        anchor: Tree | None,
        mu: float,
        lr: float,
    ) -> tuple[Tree, Tensor]:
        """The parameters [C, ...] at the end, and float64 [C, 3]: sums of loss, right answers and
        examples. free: the names of those that are trained."""

        def terms_of(tree: Tree | None) -> Tensors | None:
            if tree is None:
                return None
            # what is not trained has no terms; any tensor does in their place
            return [tree[name] if name in free else start[name] for name in self.names]

        scale, deviation = self.grid(start, free, steps)
        streams = [
            stream_of(steps.streams, "noise", plan.round, client, plan.turn)
            for client in plan.client.tolist()
        ]
        keys = np.frombuffer(b"".join(stream.key for stream in streams), np.uint8)
        trained, sums = self.network.train(
            [start[name] for name in self.names], [name in free for name in self.names], plan,
            self.examples, self.sgd, Terms(terms_of(drift), terms_of(anchor), mu), lr,
            Hiding(steps.clip_norm, scale, deviation, keys.reshape(-1, 32)),
        )  # fmt: skip
        ends = dict(zip(self.names, trained, strict=True))
        # buffers that stand beside the parameters stay as they are
        whole = Tree((name, ends.get(name, leaf)) for name, leaf in start.items())
        return whole, torch.from_numpy(sums)


def whole_steps(task: Task, examples: Examples, local: Local) -> WholeSteps:
    """`UnavailableError` says why the kernel cannot."""
    if local.sgd is None:
        raise UnavailableError(f"the kernel knows no local={local.name}")
    network = private_network(task)
    contiguous = Examples(examples.x.contiguous(), examples.y.contiguous())
    return WholeSteps(network, contiguous, local.sgd, list(task.parameters))
