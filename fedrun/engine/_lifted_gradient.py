"""Loss and gradient of a stack of any models, lifted from one client's by `torch.func.vmap`."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.func import functional_call, grad, vmap

from fedrun.core.local import Tensors
from fedrun.core.option import ConfigError
from fedrun.core.task import Task
from fedrun.engine._chain_gradient import Gradient
from fedrun.engine._own_task import OwnTask


def lifted_gradient(task: Task) -> Gradient:
    """The same result as `chain_gradient`, for models without a hand-written pass."""
    names = list(task.parameters)
    own = OwnTask(task)

    def objective(params: dict[str, Tensor], x: Tensor, y: Tensor, weight: Tensor):  # type: ignore[no-untyped-def]
        outputs = functional_call(own.task.module, params, (x,))
        losses = task.loss(outputs, y)
        return (losses * weight).sum(), (losses.detach(), task.correct(outputs, y))

    lifted = vmap(grad(objective, has_aux=True))

    def gradient(params: Tensors, x: Tensor, y: Tensor, weight: Tensor):  # type: ignore[no-untyped-def]
        grads, (loss, correct) = lifted(dict(zip(names, params, strict=True)), x, y, weight)
        return [grads[name] for name in names], loss, correct

    try_out(task, gradient)
    return gradient


def try_out(task: Task, gradient: Gradient) -> None:
    """Two clients with one empty example each: a model that cannot be lifted says so at once."""
    spec, params = task.spec, list(task.parameters.values())
    real = {"dtype": params[0].dtype, "device": params[0].device}
    y = torch.zeros(2, 1, spec.outputs, **real)
    if spec.kind != "number":
        y = y[..., 0].long()
    try:
        gradient(
            [p.detach().expand(2, *p.shape) for p in params],
            torch.zeros(2, 1, *spec.input_shape, **real),
            y,
            torch.ones(2, 1, **real),
        )
    except RuntimeError as error:
        why = str(error).partition("\n")[0]
        raise ConfigError(
            f"engine=stack cannot train this model in lockstep ({why}); take engine=eager"
        ) from error
