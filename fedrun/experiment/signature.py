"""What a factory's signature and docstring say about its options."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, get_type_hints

from fedrun.core.option import ConfigError
from fedrun.experiment import accept

NEEDED: Any = inspect.Parameter.empty


@dataclass(frozen=True)
class Option:
    """One option as `fedrun list` tells it; `default` is NEEDED where there is none."""

    name: str
    type: str
    accepted: str
    default: Any
    doc: str


def describe(function: Callable[..., Any], title: str = "") -> dict[str, Option]:
    """The keyword-only parameters of a factory, with what its docstring says about each."""
    refuse_types(title, function)
    types = option_types(function)
    docs = option_docs(function.__doc__ or "", list(types))
    parameters = inspect.signature(function).parameters
    return {
        name: Option(
            name,
            accept.type_text(annotation),
            accept.accepted(annotation),
            parameters[name].default,
            docs.get(name, ""),
        )
        for name, annotation in types.items()
    }


def refuse_types(title: str, function: Callable[..., Any]) -> None:
    """Refuse a factory with an option that no config could give."""
    for name, annotation in option_types(function).items():
        if not accept.understood(annotation):
            raise ConfigError(
                f"{title}: option {name!r} needs a type that a config can hold"
                " (int, float, bool, str, Literal, list[...], or one of them | None)"
            )


def option_types(function: Callable[..., Any]) -> dict[str, Any]:
    """The evaluated types of the keyword-only parameters; those of supplies may stay unimported.

    A parameter without a type gets `inspect.Parameter.empty`, which no value is accepted for.
    """
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:  # some built-in functions tell no signature
        return {}
    texts = {p.name: p.annotation for p in parameters if p.kind is p.KEYWORD_ONLY}
    names = getattr(inspect.unwrap(function), "__globals__", None)
    if names is None:
        names = vars(sys.modules[function.__module__])
    holder = SimpleNamespace(__annotations__=texts)
    return get_type_hints(holder, globalns=names, include_extras=True)


def option_docs(doc: str, options: Sequence[str]) -> dict[str, str]:
    """The `option: meaning` lines of a docstring; a blank line or the next option ends one."""
    found: dict[str, str] = {}
    current = ""
    for line in inspect.cleandoc(doc).splitlines():
        match = re.match(r"(\w+): +(.*)", line)
        if match and match[1] in options:
            current = match[1]
            found[current] = match[2].strip()
        elif not line.strip():
            current = ""
        elif current:
            found[current] += f" {line.strip()}"
    return found
