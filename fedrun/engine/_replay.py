"""A step that runs many times on the same tensors: called, or replayed from a CUDA graph.

A step of stacked clients is dozens of small kernels, and the host needs longer to launch each of
them than the device to run it; a graph is launched as a whole. It repeats what it once saw, address
by address: so a step takes no argument, all that changes lies in tensors that stay where they are,
and nothing in it may depend on their values at the host.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import torch

from fedrun.core.option import RunError

WARM_UP = 3  # runs before a capture, in which libraries choose their ways and allocate their memory


class Replay(Protocol):
    def prepare(self, key: int, step: Callable[[], Any], rewind: Callable[[], None]) -> None:
        """Make the step known under this key, unless it is. It may run, on whatever lies in its
        tensors, and `rewind` before each time."""

    def __call__(self, key: int) -> Any:
        """Run the step; what it returned, in tensors that the next run writes over."""


class Called:
    """Plain calls: the CPU's way."""

    def __init__(self) -> None:
        self.steps: dict[int, Callable[[], Any]] = {}

    def prepare(self, key: int, step: Callable[[], Any], rewind: Callable[[], None]) -> None:
        self.steps.setdefault(key, step)

    def __call__(self, key: int) -> Any:
        return self.steps[key]()


class Captured:
    """One CUDA graph for each key; all of them share their memory, as no two run at a time."""

    def __init__(self) -> None:
        self.pool = torch.cuda.graph_pool_handle()
        self.graphs: dict[int, tuple[torch.cuda.CUDAGraph, Any]] = {}

    def prepare(self, key: int, step: Callable[[], Any], rewind: Callable[[], None]) -> None:
        if key in self.graphs:
            return
        # a stream of its own, since the default one cannot be captured
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(WARM_UP):
                rewind()
                step()
        torch.cuda.current_stream().wait_stream(aside)
        rewind()
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph, pool=self.pool):
                kept = step()
        except RuntimeError as error:
            reason = str(error).partition("\n")[0]
            raise RunError(
                f"engine=stack cannot capture this model's step in a CUDA graph ({reason}); "
                f"take engine=eager"
            ) from error
        self.graphs[key] = graph, kept

    def __call__(self, key: int) -> Any:
        graph, kept = self.graphs[key]
        graph.replay()
        return kept
