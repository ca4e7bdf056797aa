"""fedrun: run federated learning experiments.

>>> import fedrun
>>> run = fedrun.train("train", ["rounds=2"])  # doctest: +SKIP
>>> run.metrics[-1]["test/accuracy"]  # doctest: +SKIP
"""

from __future__ import annotations

from typing import TYPE_CHECKING

__version__ = "0.1.0"
__all__ = [
    "ConfigError",
    "Run",
    "RunError",
    "Sweep",
    "__version__",
    "load",
    "resume",
    "sweep",
    "train",
]

if TYPE_CHECKING:
    from fedrun.core.option import ConfigError, RunError
    from fedrun.experiment.api import Run, load, resume, train
    from fedrun.experiment.sweep_api import Sweep, sweep


def __getattr__(name: str) -> object:
    # Importing the package must not import PyTorch: the command line's --help and Tab wait for it.
    if name in ("Run", "load", "resume", "train"):
        from fedrun.experiment import api

        return getattr(api, name)
    if name in ("Sweep", "sweep"):
        from fedrun.experiment import sweep_api

        return getattr(sweep_api, name)
    if name in ("ConfigError", "RunError"):
        from fedrun.core import option

        return getattr(option, name)
    raise AttributeError(f"module 'fedrun' has no attribute {name!r}")
