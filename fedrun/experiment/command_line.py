"""The overrides of a command line, read by Hydra's grammar and checked one by one."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException

from fedrun.core.option import ConfigError
from fedrun.experiment import choices, factory, suggest

EXAMPLE = "such as rounds=10 or model.hidden=[64,32]"


@dataclass(frozen=True)
class CommandLine:
    """The arguments, sorted: those that choose, with what they choose, and those that set."""

    chosen: dict[str, choices.Choice] = field(default_factory=dict)
    choosing: list[str] = field(default_factory=list)
    setting: list[Override] = field(default_factory=list)


def read(arguments: Sequence[str]) -> CommandLine:
    """Sort the arguments; ConfigError for what no config could make right."""
    line = CommandLine()
    groups = choices.groups()
    for argument in arguments:
        override = parsed(argument)
        key = override.key_or_group
        _refuse_foreign(argument, override)
        if key in groups:
            line.chosen[key] = _choice(argument, override)
            line.choosing.append(argument)
        else:
            group, _, option = key.partition(".")
            if option.rpartition(".")[2] == "name" and group in groups:
                raise ConfigError(f"{argument}: choose with {group}=NAME")
            line.setting.append(override)
    return line


@lru_cache(maxsize=4096)  # the cells of a sweep share most of theirs
def parsed(argument: str) -> Override:
    """One argument by Hydra's grammar; ConfigError where it is none of it."""
    try:
        return OverridesParser.create().parse_overrides([argument])[0]
    except HydraException as error:
        if "=" not in argument:
            raise ConfigError(f"{argument[:60]!r} is not key=value, {EXAMPLE}") from error
        key, _, value = argument.partition("=")
        text = value.strip("'\"")[:60]
        why = brief(error)
        if why.startswith("LexerNoViableAlt"):
            why = "a sign in it cannot stand there unquoted"
        raise ConfigError(
            f"{argument[:60]!r} cannot be read: {why} ({EXAMPLE}).\n"
            f"If the value is a text, quote it for both the shell and fedrun: {key}=\"'{text}'\""
        ) from error
    except (
        ValueError,
        RecursionError,
    ) as error:  # a number of thousands of digits, thousands of '['
        raise ConfigError(f"{argument[:60]!r}... cannot be read: too long") from error


def _refuse_foreign(argument: str, override: Override) -> None:
    """What Hydra would take, but means nothing here or several runs."""
    key = override.key_or_group
    if not key:
        raise ConfigError(f"{argument!r} is not key=value, {EXAMPLE}")
    if re.split("[./]", key)[0] == "hydra":
        raise ConfigError(f"{argument}: Hydra's own settings have no effect here")
    if override.package is not None:
        raise ConfigError(f"{argument}: '@' has no meaning here; write {key}=...")
    if key == "config":
        raise ConfigError(f"{argument}: one config=NAME is taken, without a sign before it")
    if override.is_sweep_override() and key in choices.SEVERAL:
        value = argument.partition("=")[2]
        raise ConfigError(f"{argument}: several of them stand in brackets: {key}=[{value}]")
    if override.is_sweep_override():
        raise ConfigError(
            f"{argument} is several values, and this command takes one: 'fedrun sweep' runs each"
            f" (a list is written in brackets: {key}=[1,2])"
        )
    if "_target_" in key or _names_target(override.value()):
        raise ConfigError(
            f"{argument}: '_target_' is not accepted; choose with group=package.module:factory"
        )


def _names_target(value: Any) -> bool:
    if isinstance(value, dict):
        return "_target_" in map(str, value) or any(map(_names_target, value.values()))
    return isinstance(value, list) and any(map(_names_target, value))


def _choice(argument: str, override: Override) -> choices.Choice:
    group, value = override.key_or_group, override.value()
    known = ", ".join(choices.choices(group))
    if override.is_delete():
        raise ConfigError(f"{argument}: every group needs a choice (choices: {known})")
    if override.is_add() or override.is_force_add():
        why = "what is named is all" if group in choices.SEVERAL else "a group has one choice"
        raise ConfigError(f"{argument}: {why}; write {argument.lstrip('+')}")
    if group in choices.SEVERAL:
        return factory.check_choices(argument, group, value)
    if value is None or isinstance(value, dict | list):
        raise ConfigError(f"{argument}: {group} takes the name of a choice (choices: {known})")
    if isinstance(value, str) and "${" in value:
        raise ConfigError(f"{argument}: {group} takes a name as it stands (choices: {known})")
    factory.check_choice(group, str(value))
    return str(value)


def brief(error: BaseException) -> str:
    """The first sentence of what a library says, without its traceback and advice."""
    text = str(error.__cause__ or error).strip() or type(error).__name__
    lines = [line.strip() for line in text.splitlines()]
    told = [line for line in lines if line and not line.startswith(("Error parsing", "See http"))]
    return (told or lines)[0][:200]


def unknown(key: str, values: dict[str, Any]) -> str | None:
    """The sentence for a key that the composed config does not have; None where it has it."""
    node: Any = values
    for part in key.split("."):
        if isinstance(node, dict) and part in node:
            node = node[part]
        elif isinstance(node, list) and part.isdigit() and int(part) < len(node):
            node = node[int(part)]
        else:
            break
    else:
        return None
    group, _, option = key.partition(".")
    keys = choices.keys(values)
    if option and group in choices.SEVERAL:
        return _unknown_of_several(group, option, values)
    if option and group in choices.groups():
        name = values[group]["name"]
        options = [known for known in values[group] if known != "name"]
        near = suggest.nearest_option(group, option, options)
        also = [] if near else choices.holders(group, option)
        elsewhere = [known for known in keys if known.endswith(f".{option}")]
        if not also and not near and elsewhere:
            start = f"{group}={name} has no option {option!r}"
            return start + suggest.did_you_mean(elsewhere[:2])
        return suggest.no_option(group, name, option, options, also)
    return suggest.no_key(key, [*keys, *choices.groups()])


def _unknown_of_several(group: str, key: str, values: Mapping[str, Any]) -> str:
    """The sentence for `tracker.KEY`, which is no option of a tracker that is chosen."""
    nodes = choices.nodes({group: values[group]})
    chosen = [name.partition(".")[2] for name in nodes if name != group]
    first, dot, option = key.partition(".")
    if dot and first in chosen:
        node = nodes[f"{group}.{first}"]
        options = [name for name in node if name != "name"]
        return suggest.no_option(group, str(node["name"]), option, options, [])
    if dot and first in choices.choices(group):
        names = [*chosen, first]
        choose = names[0] if len(names) == 1 else f"[{','.join(names)}]"
        return f"{group}.{key} has no effect: {first} is not chosen; choose it: {group}={choose}"
    shipped = {choice: choices.node_of(group, choice) for choice in choices.choices(group)}
    every = {group: {choice: node for choice, node in shipped.items() if choice != choices.NOBODY}}
    return suggest.no_key(f"{group}.{key}", choices.keys(every))
