"""The learning problem as pure functions: a model's structure, its loss, and what is measured.

Loss and correctness are given per example [B], so that means, sums per client and padded batches
are all taken by whoever needs them.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fedrun.core.dataset import Spec, Split
from fedrun.core.tree import Tree


@dataclass(frozen=True)
class Examples:
    """Rows and targets as tensors on the device that trains: x [N, ...], y [N] or [N, outputs]."""

    x: Tensor
    y: Tensor

    @classmethod
    def of(cls, split: Split, device: torch.device) -> Examples:
        """Shares memory with the arrays on the CPU."""
        return cls(torch.from_numpy(split.x).to(device), torch.from_numpy(split.y).to(device))

    def __len__(self) -> int:
        return len(self.y)


@dataclass(frozen=True)
class Task:
    """module: the structure only; whoever uses it puts the parameters in."""

    module: nn.Module
    spec: Spec

    @property
    def has_accuracy(self) -> bool:
        return self.spec.kind != "number"

    @property
    def parameters(self) -> dict[str, nn.Parameter]:
        """The module's trainable parameters by name; frozen ones stay as the factory made them."""
        return {name: p for name, p in self.module.named_parameters() if p.requires_grad}

    def current(self) -> Tree:
        """A copy of the parameters that are in the module now."""
        return Tree({name: p.detach().clone() for name, p in self.parameters.items()})

    def load(self, params: Tree) -> nn.Module:
        """The module with these parameters in it (copied)."""
        with torch.no_grad():
            for name, parameter in self.parameters.items():
                parameter.copy_(params[name])
        return self.module

    def loss(self, outputs: Tensor, y: Tensor) -> Tensor:
        """float [B]: cross entropy (`binary`: of one logit), or squared error (mean of outputs)."""
        if self.spec.kind == "classes":
            return F.cross_entropy(outputs, y, reduction="none")
        if self.spec.kind == "binary":
            logit = outputs.squeeze(-1)
            return F.binary_cross_entropy_with_logits(logit, y.to(logit.dtype), reduction="none")
        return (outputs - y).square().mean(-1)

    def correct(self, outputs: Tensor, y: Tensor) -> Tensor:
        """bool [B]: whether the prediction is right; for regression always False."""
        if not self.has_accuracy:
            return torch.zeros(len(y), dtype=torch.bool, device=y.device)
        return self.predict(outputs) == y

    def predict(self, outputs: Tensor) -> Tensor:
        """int64 [B]: the class (`binary`: whether the logit is above 0); else the outputs."""
        if self.spec.kind == "classes":
            return outputs.argmax(-1)
        if self.spec.kind == "binary":
            return (outputs.squeeze(-1) > 0).long()
        return outputs
