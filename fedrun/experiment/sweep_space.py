"""What a sweep's command line spans: Hydra's sweep grammar, on any key, group and on `config=`.

a,b    choice(a,b)    range(5)    glob(fed*)    sort(...)    shuffle(...)    are listed values
interval(0.001,0.1)   tag(log, interval(...))   int(interval(1,8))           need a sampler
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from pathlib import Path

from hydra.core.override_parser.types import Glob, IntervalSweep, Override, RangeSweep
from hydra.errors import HydraException

from fedrun.core.option import ConfigError
from fedrun.experiment import choices, tracking
from fedrun.experiment.command_line import brief, parsed

MOST = 10_000  # cells: each costs a twentieth of a second before anything runs
LONGEST = 100_000  # values of one range, which are counted before they are made
CONFIG = "config"


@dataclass(frozen=True)
class Dimension:
    """One argument with several values.

    key: as typed, with its sign; place: of the argument in the command line, -1 for `config=`
    values: texts of the grammar; none where `interval` says what is searched
    stepped: whether the values are those of a `range()`, where near ones are alike
    """

    key: str
    place: int
    argument: str
    values: tuple[str, ...]
    interval: IntervalSweep | None = None
    stepped: bool = False

    def word(self, value: str) -> str:
        return f"{self.key}={value}"


@dataclass(frozen=True)
class Point:
    """One cell: a config, its overrides, and those of its words that the sweep has put there."""

    config: str
    overrides: tuple[str, ...]
    swept: tuple[str, ...]


@dataclass(frozen=True)
class Space:
    """A command line, and which of its words have several values."""

    config: str
    overrides: tuple[str, ...]
    dimensions: tuple[Dimension, ...]

    def points(self) -> Iterator[Point]:
        """Every combination, the last argument varying fastest; ConfigError where it is endless."""
        for dimension in self.dimensions:
            if dimension.interval is not None:
                raise ConfigError(
                    f"{dimension.argument} is a stretch, not a list of values: search it with "
                    f"--sampler tpe --trials 20, or list values: {dimension.key}=a,b,c"
                )
        count = prod(len(dimension.values) for dimension in self.dimensions)
        if count > MOST:
            raise ConfigError(f"this sweep has {count:,} cells (accepted: at most {MOST:,})")
        for values in product(*(dimension.values for dimension in self.dimensions)):
            yield self.point(values)

    def point(self, values: Sequence[str]) -> Point:
        """The cell in which the dimensions take these values."""
        config, overrides, swept = self.config, list(self.overrides), []
        for dimension, value in zip(self.dimensions, values, strict=True):
            word = dimension.word(value)
            swept.append(word)
            if dimension.place < 0:
                config = _unquoted(value)
            else:
                overrides[dimension.place] = word
        return Point(config, tuple(overrides), tuple(swept))


def read(config: str, overrides: Sequence[str]) -> Space:
    """The space of `config=CONFIG OVERRIDES...`; ConfigError for what cannot be swept."""
    for argument in (f"{CONFIG}={config}", *overrides):
        if argument.rstrip().endswith(","):
            raise ConfigError(f"{argument}: a value is missing after the last comma")
    dimensions = _configs(config)
    for place, argument in enumerate(overrides):
        override = parsed(argument)
        if override.is_sweep_override():
            dimensions.append(_dimension(argument, override, place))
    for dimension in dimensions:
        _refuse(dimension, overrides)
    return Space(config, tuple(overrides), tuple(dimensions))


def _configs(config: str) -> list[Dimension]:
    """`config=a,b`; a path that the grammar does not read, or that is a file, is one config."""
    argument = f"{CONFIG}={config}"
    if not set(config) & set(",(") or Path(config).is_file():
        return []
    override = parsed(argument)
    return [_dimension(argument, override, -1)] if override.is_sweep_override() else []


def _dimension(argument: str, override: Override, place: int) -> Dimension:
    key, value = override.get_key_element(), override.value()
    if isinstance(value, IntervalSweep):
        if key == CONFIG:
            raise ConfigError(f"{argument}: configs are listed: config=a,b")
        return Dimension(key, place, argument, (), value)
    if isinstance(value, RangeSweep):
        _refuse_length(argument, value)
    if isinstance(value, Glob):
        values = _matching(argument, key, value)
    else:
        try:
            values = list(override.sweep_string_iterator())
        except (HydraException, ValueError, TypeError) as error:
            raise ConfigError(f"{argument} cannot be listed: {brief(error)}") from error
    if not values:
        raise ConfigError(f"{argument} has no values")
    stepped = isinstance(value, RangeSweep)
    return Dimension(key, place, argument, tuple(dict.fromkeys(values)), stepped=stepped)


def _refuse_length(argument: str, value: RangeSweep) -> None:
    assert value.start is not None
    assert value.stop is not None
    if value.step and abs((value.stop - value.start) / value.step) > LONGEST:
        raise ConfigError(f"{argument} has over {LONGEST:,} values")


def _matching(argument: str, key: str, pattern: Glob) -> list[str]:
    if key == CONFIG:
        known = choices.config_names()
    elif key in choices.groups():
        known = choices.choices(key)
    else:
        raise ConfigError(f"{argument}: glob() picks among the choices of a group, or configs")
    return [str(name) for name in pattern.filter(known)]


def _refuse(dimension: Dimension, overrides: Sequence[str]) -> None:
    key = dimension.key.lstrip("+")
    if tracking.is_about_trackers(key):
        value = dimension.argument.partition("=")[2]
        several = f"; several at once stand in brackets: {key}=[{value}]" * ("." not in key)
        raise ConfigError(
            f"{dimension.argument} makes no other runs: it says only who is told{several}"
        )
    if key == "name" or key.startswith("run."):
        raise ConfigError(
            f"{dimension.argument} makes no other runs: {key} says only where a run is kept"
        )
    if sum(word.lstrip("+").partition("=")[0] == key for word in overrides) > 1:
        raise ConfigError(f"{key} is given twice, once with several values; give it once")


def _unquoted(value: str) -> str:
    """A config's name as `config=` takes it, which is not read by the grammar."""
    quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "'\""
    return value[1:-1] if quoted else value
