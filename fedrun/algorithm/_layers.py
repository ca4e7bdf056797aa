"""Which parameters are a model's body and which its head: the last linear layers."""

from __future__ import annotations

from torch import nn

from fedrun.core.option import ConfigError
from fedrun.core.task import Task


def body_and_head(algorithm: str, task: Task, layers: int) -> tuple[list[str], list[str]]:
    """The names of the parameters before the last so many linear layers, and those from there on.

    What stands between these layers, or behind them, belongs to the head. Both in the model's
    order.
    """
    names = list(task.parameters)
    if not layers:
        return names, []
    linear = [name for name, part in task.module.named_modules() if isinstance(part, nn.Linear)]
    begin = 0
    if layers <= len(linear):
        first = f"{linear[-layers]}."
        begin = next((at for at, name in enumerate(names) if name.startswith(first)), 0)
    if not begin:
        last = "linear layer" if layers == 1 else f"{layers} linear layers"
        raise ConfigError(
            f"algorithm={algorithm} parts a model before its last {last} "
            f"(algorithm.head={layers}), and this one has {len(linear)} in all and nothing before "
            f"them; take a model with more layers, such as model=mlp"
        )
    return names[:begin], names[begin:]
