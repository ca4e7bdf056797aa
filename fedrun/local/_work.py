"""The options that every local optimiser shares: how much work a round is."""

from fedrun.core.option import ConfigError
from fedrun.core.plan import Work


def local_work(epochs: int, steps: int, batch_size: int) -> Work:
    """`steps` instead of `epochs`, never both."""
    if steps and epochs != 1:
        raise ConfigError(
            f"local.epochs={epochs} has no effect beside local.steps={steps}; give one of them"
        )
    return Work(epochs, steps, batch_size)
