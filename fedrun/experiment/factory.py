"""From a choice's name to its factory: a shipped one, or a user's `package.module:factory`."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from fedrun.core.option import ConfigError
from fedrun.experiment import choices, suggest

SHIPPED = re.compile(r"[a-z][a-z0-9_]*")
PLUGIN = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")


def is_plugin(name: str) -> bool:
    return ":" in name


def check_choice(group: str, name: object) -> None:
    """Refuse a name that this group does not have; a plugin is imported and looked up."""
    if isinstance(name, str) and is_plugin(name):
        factory(group, name)
    elif name not in choices.choices(group):
        raise ConfigError(suggest.no_choice(group, name, choices.choices(group)))


def check_choices(said: str, group: str, value: Any) -> list[str]:
    """The choices of a group that takes more than one; `said` is how they were given."""
    known = ", ".join(choices.choices(group))
    names = value if isinstance(value, list) else [value]
    if not names or not all(isinstance(name, str) and "${" not in name for name in names):
        raise ConfigError(
            f"{said}: {group} takes a name, or several in brackets (choices: {known})"
        )
    for name in names:
        check_choice(group, name)
    taken: dict[str, str] = {}
    for name in names:
        other = taken.setdefault(choices.short(name), name)
        if names.count(name) > 1:
            raise ConfigError(f"{said} names {name} twice; once is enough")
        if other != name:
            raise ConfigError(f"{said}: the options of both would stand under {group}."
                              f"{choices.short(name)}; give one factory another name")  # fmt: skip
    if choices.NOBODY in names and len(names) > 1:
        raise ConfigError(f"{said}: {choices.NOBODY} stands alone; leave it out")
    return [str(name) for name in names]


def factory(group: str, name: str) -> Callable[..., Any]:
    """The factory that `group=name` stands for; imports its module."""
    if is_plugin(name):
        return _plugin(group, name)
    module = f"fedrun.{group}.{name}"
    if not SHIPPED.fullmatch(name) or find_spec(module) is None:
        raise ConfigError(suggest.no_choice(group, name, choices.choices(group)))
    found = getattr(importlib.import_module(module), name, None)
    assert callable(found), f"{module} has no factory {name}"
    return found  # type: ignore[no-any-return]


def _plugin(group: str, name: str) -> Callable[..., Any]:
    what = f"{group}={name}"
    if not PLUGIN.fullmatch(name):
        raise ConfigError(f"{what} is not of the form 'package.module:factory'")
    module_name, _, attribute = name.partition(":")
    here = str(Path.cwd())
    if "" not in sys.path and here not in sys.path:
        sys.path.insert(0, here)  # as `python -m fedrun` has it
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise ConfigError(f"{what} cannot be imported: {error}") from error
        raise ConfigError(
            f"{what}: there is no module {error.name!r} in {here} or among what is installed"
        ) from error
    except Exception as error:  # a user's module may fail in any way
        text = f"{type(error).__name__}: {error}".partition("\n")[0]
        raise ConfigError(f"{what} cannot be imported: {text}") from error
    found = getattr(module, attribute, None)
    if not callable(found):
        near = suggest.nearest(attribute, [n for n in vars(module) if callable(getattr(module, n))])
        reason = "is not a function" if hasattr(module, attribute) else "is not there"
        raise ConfigError(f"{what}: {attribute!r} {reason}{suggest.did_you_mean(near)}")
    return found  # type: ignore[no-any-return]
