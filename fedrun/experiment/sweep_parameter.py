"""A dimension of a sweep as Optuna takes it, and a proposed value as the command line takes it.

A list is categorical; a range goes by place, so that near values are near; an interval is a stretch
of numbers: whole ones with `int(interval(...))` or `tag(int, ...)`, on a log scale with
`tag(log, ...)`.
"""

from __future__ import annotations

import importlib
from typing import Any

from fedrun.core.option import ConfigError
from fedrun.experiment.sweep_space import Dimension

Parameter = float | int


def low(dimension: Dimension) -> str:
    assert dimension.interval is not None
    return _number(dimension.interval.start)


def high(dimension: Dimension) -> str:
    assert dimension.interval is not None
    return _number(dimension.interval.end)


def _number(value: float | None) -> str:
    """Four digits are enough; `text_of` sees to it that they do not leave the interval."""
    return str(value) if isinstance(value, int) else f"{value:.4g}"


def text_of(dimension: Dimension, parameter: Parameter) -> str:
    """What stands after the `=` for what Optuna proposes."""
    if dimension.interval is None:
        return dimension.values[int(parameter)]
    text = _number(float(parameter) if isinstance(parameter, float) else int(parameter))
    start, end = dimension.interval.start, dimension.interval.end
    assert start is not None
    assert end is not None
    return text if start <= float(text) <= end else repr(parameter)


def parameter_of(dimension: Dimension, text: str) -> Parameter:
    """What Optuna is told of what stands after the `=`."""
    if dimension.interval is None:
        return dimension.values.index(text)
    return int(text) if _whole(dimension) else float(text)


def _whole(dimension: Dimension) -> bool:
    interval = dimension.interval
    assert interval is not None
    return isinstance(interval.start, int) or "int" in interval.tags


def distribution(dimension: Dimension) -> Any:
    """What Optuna draws from; ConfigError where it cannot."""
    distributions, interval = optuna().distributions, dimension.interval
    if interval is None:
        count = len(dimension.values)
        if dimension.stepped:  # by place, so that near ones are near
            return distributions.IntDistribution(0, count - 1)
        return distributions.CategoricalDistribution(list(range(count)))
    log, ends = "log" in interval.tags, (interval.start or 0, interval.end or 0)
    try:
        if _whole(dimension):
            return distributions.IntDistribution(*map(int, ends), log=log)
        return distributions.FloatDistribution(*ends, log=log)
    except ValueError as error:
        raise ConfigError(f"{dimension.argument} cannot be searched: {error}") from error


def optuna() -> Any:
    """The library; ConfigError where it is not installed."""
    try:
        return importlib.import_module("optuna")
    except ImportError as error:
        raise ConfigError("--sampler needs Optuna: pip install 'fedrun[sweep]'") from error
