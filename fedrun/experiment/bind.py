"""A node of the config and a factory's signature make a call.

The signature is the schema: what stands after the `*` is what the config may say, with its type,
range and default; what stands before it the program supplies. The same check serves the root keys.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, is_dataclass
from typing import Any, TypeVar

from fedrun.core.option import ConfigError
from fedrun.experiment import accept, choices, factory, suggest
from fedrun.experiment.signature import NEEDED, Option, describe, option_types, refuse_types

__all__ = [
    "Bound",
    "Option",
    "asks_for",
    "bind",
    "bind_all",
    "check",
    "examine",
    "made",
    "options_of",
    "refuse",
]

T = TypeVar("T")


@dataclass(frozen=True)
class Bound:
    """A choice with checked options, ready to be called."""

    group: str
    name: str
    factory: Callable[..., Any]
    options: dict[str, Any]

    def call(self, **supplies: Any) -> Any:
        """Call the factory with those of `supplies` that it asks for, and its options."""
        wanted = _supplied(self.factory)
        lacking = [p.name for p in wanted if p.name not in supplies and p.default is NEEDED]
        if lacking:
            asks = (
                f"{self.group}={self.name} asks for {', '.join(map(repr, lacking))} before the '*'"
            )
            assert factory.is_plugin(self.name), asks
            raise ConfigError(f"{asks}; a {self.group} is given {', '.join(supplies) or 'nothing'}")
        given = [p.name for p in wanted if p.name in supplies]
        return self.factory(**{name: supplies[name] for name in given}, **self.options)


def bind(group: str, node: Mapping[str, Any]) -> Bound:
    """Check the name and options of one group against its factory."""
    return bind_all({group: node})[group]


def bind_all(nodes: Mapping[str, Mapping[str, Any]]) -> dict[str, Bound]:
    """Check several choices, and tell the mistakes of all of them at once.

    `nodes`: each under its key, as `choices.nodes` has them: a group, or `tracker.wandb`.
    """
    bound: dict[str, Bound] = {}
    problems: list[str] = []
    for key, node in nodes.items():
        group, name = key.partition(".")[0], node.get("name")
        if not isinstance(name, str):
            problems.append(f"{key} has no name: choose one with {group}=NAME")
            continue
        found = factory.factory(group, name)
        given = {option: value for option, value in node.items() if option != "name"}
        refuse_types(f"{group}={name}", found)
        options, wrong = examine(f"{key}={name}", found, given)
        problems += wrong
        bound[key] = Bound(group, name, found, options)
    refuse(problems)
    return bound


def check(title: str, function: Callable[..., Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """The values as the keyword-only parameters of `function` want them, or a ConfigError.

    `title` stands before the keys: `algorithm=fedprox`, `tracker.wandb=wandb`, `clients`, or
    nothing for the root.
    """
    converted, problems = examine(title, function, values)
    refuse(problems)
    return converted


def refuse(problems: Sequence[str]) -> None:
    """Raise what is wrong, in two lines at most."""
    if problems:
        more = f" (and {len(problems) - 2} more)" if len(problems) > 2 else ""
        raise ConfigError("\n".join(problems[:2]) + more)


def examine(
    title: str, function: Callable[..., Any], values: Mapping[str, Any], others: Sequence[str] = ()
) -> tuple[dict[str, Any], list[str]]:
    """The converted values and a sentence for each that is wrong, unknown or missing.

    A parameter that is a dataclass is a set of keys of its own. `others` are keys that may be meant
    by a misspelt one, but are not this function's.
    """
    group, _, name = title.partition("=")
    start = f"{group}." if group else ""
    group = group.partition(".")[0]
    types = option_types(function)
    converted: dict[str, Any] = {}
    problems: list[str] = []
    for key, value in values.items():
        if key not in types:
            if name:
                also = [] if factory.is_plugin(name) else choices.holders(group, key)
                problems.append(suggest.no_option(group, name, key, list(types), also))
            else:
                known = [f"{start}{known}" for known in types]
                problems.append(suggest.no_key(f"{start}{key}", [*known, *others]))
        elif is_dataclass(types[key]) and isinstance(types[key], type):
            if isinstance(value, Mapping):
                inner, wrong = examine(f"{start}{key}", types[key], value)
                problems += wrong
                if not wrong:
                    converted[key] = types[key](**inner)
            else:
                inside = ", ".join(f"{start}{key}.{inner}" for inner in option_types(types[key]))
                problems.append(f"{start}{key} is a set of keys; write one of {inside}")
        else:
            try:
                converted[key] = accept.convert(types[key], value)
            except accept.RefusedError as error:
                problems.append(
                    f"{start}{key}{error.where}={accept.shown(error.value)} {error.reason}"
                    f"{suggest.meant_here(f'{title}.{key}', value)}"
                    f" (accepted: {accept.accepted(types[key])})"
                )
    for key, annotation in types.items():
        if key not in values:
            words = (
                "" if is_dataclass(annotation) else f" (accepted: {accept.accepted(annotation)})"
            )
            problems.append(f"{start}{key} is missing{words}")
    return converted, problems


def made(bound: Bound, kind: type[T], **supplies: Any) -> T:
    """What the factory makes, which must be of the kind that its group is about."""
    found = bound.call(**supplies)
    if not isinstance(found, kind):
        raise ConfigError(
            f"{bound.group}={bound.name} returns {type(found).__name__}, "
            f"and a {bound.group} must be a {kind.__module__}.{kind.__qualname__}"
        )
    return found


def options_of(group: str, name: str) -> dict[str, Option]:
    """What `group=name` may be told."""
    return describe(factory.factory(group, name), f"{group}={name}")


def asks_for(group: str, name: str) -> list[str]:
    """What the factory of a choice wants of the program."""
    return [parameter.name for parameter in _supplied(factory.factory(group, name))]


def _supplied(function: Callable[..., Any]) -> list[inspect.Parameter]:
    parameters = inspect.signature(function).parameters.values()
    return [p for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
