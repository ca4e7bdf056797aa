"""The step of a stack of any models, lifted from one client's forward pass by `torch.func.vmap`.

Only the forward pass is lifted; autograd takes the gradient of the sum over clients, in which each
client's parameters stand for themselves. That is a tenth faster than `vmap(grad)`, which also loads
800 modules of PyTorch's compiler.
"""

from __future__ import annotations

import re
import warnings

import torch
from torch import Tensor
from torch.func import functional_call, vmap

from fedrun.core.local import Tensors
from fedrun.core.option import ConfigError
from fedrun.core.task import Examples, Task
from fedrun.engine._objective import Terms
from fedrun.engine._own_task import OwnTask
from fedrun.engine._stacked_network import Model, Step
from fedrun.engine._stacked_updates import Listed, Update


def lifted_gradient(task: Task) -> Model:
    """The same as `stacked_network`, for models that are not written out; a `ConfigError` for those
    that PyTorch cannot lift."""
    names = list(task.parameters)
    own = OwnTask(task)

    def forward(params: dict[str, Tensor], x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        outputs = functional_call(own.task.module, params, (x,))
        return outputs, task.loss(outputs, y)

    lifted = vmap(forward)

    def bind(params: Tensors, update: Update) -> Step:
        def step(x: Tensor, y: Tensor, weight: Tensor) -> Tensor:
            leaves = [p.detach().requires_grad_() for p in params]
            with torch.enable_grad():
                outputs, losses = lifted(dict(zip(names, leaves, strict=True)), x, y)
                total = (losses * weight).sum()
            # a parameter that the loss does not reach has the gradient zero
            grads = torch.autograd.grad(total, leaves, materialize_grads=True)
            for at, gradient in enumerate(grads):
                update.put(at, gradient)
            return outputs.detach()

        return step

    model = Model(bind, lambda y: y)
    try_out(task, model)
    return model


def try_out(task: Task, model: Model) -> None:
    """Two clients with one example each: a model that cannot be lifted says so at once."""
    params = list(task.parameters.values())
    trial = Examples.trial(task.spec, 2, params[0])
    stacked = [p.detach().expand(2, *p.shape) for p in params]
    nowhere = Listed.of(stacked, Terms(None, None, 0.0), None, None, 1.0)
    try:
        # An operation without a batched form (nn.LSTM's) is run for one client after the other:
        # right, but slower than engine=eager, with this warning at every step.
        with warnings.catch_warnings():
            warnings.filterwarnings("error", message="There is a performance drop")
            model.bind(stacked, nowhere)(
                trial.x.unsqueeze(1),
                trial.y.unsqueeze(1),
                torch.ones(2, 1, dtype=params[0].dtype, device=params[0].device),
            )
    except (RuntimeError, UserWarning) as error:
        lacking = re.search(r"atching rule (?:not implemented )?for ([\w:]+)", str(error))
        why = f"{lacking[1]} has no batched form" if lacking else str(error).partition("\n")[0]
        raise ConfigError(
            f"engine=stack cannot train this model in lockstep ({why}); take engine=auto"
        ) from error
