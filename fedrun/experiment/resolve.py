"""From Hydra's merged config to plain values, with every `${...}` replaced.

A reference may name a single value that is no reference itself: so no chain of references can grow
beyond its text, whatever a file holds.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from fedrun.core.option import ConfigError
from fedrun.experiment import choices, command_line, suggest
from fedrun.experiment.config_file import REFERENCE

MOST_TEXT = 10_000
MOST_GROWTH = 2**20
NOTHING = object()


def resolved(config: DictConfig) -> dict[str, Any]:
    """The config as plain values; ConfigError for a reference that leads nowhere or too far."""
    values = OmegaConf.to_container(config, resolve=False)
    assert isinstance(values, dict)
    growth = 0
    references = False
    for key, value in leaves(values):
        if value == "???":
            raise ConfigError(f"{key} has no default: give {key}=...")
        if isinstance(value, str) and "${" in value:
            references = True
            growth += _growth(key, value, values)
            if growth > MOST_GROWTH:
                raise ConfigError(f"{key}: the references of this config make over 1 MiB of text")
    if references:
        values = _replaced(config)
    for key, value in leaves(values):
        if isinstance(value, str):
            _refuse_text(key, value)
    return {str(key): value for key, value in values.items()}


def leaves(node: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Every value that is no mapping or list, with its full key."""
    if isinstance(node, dict):
        for inner, value in node.items():
            if not isinstance(inner, str):
                raise ConfigError(f"{key or 'the config'}: a key is a word, not {inner!r}")
            yield from leaves(value, f"{key}.{inner}" if key else inner)
    elif isinstance(node, list):
        for position, value in enumerate(node):
            yield from leaves(value, f"{key}[{position}]")
    else:
        yield key, node


def _growth(key: str, text: str, values: dict[Any, Any]) -> int:
    """How many characters the references in one text stand for."""
    total = len(text)
    for match in REFERENCE.finditer(text):
        target: Any = values
        for part in match[1].split("."):
            target = target.get(part, NOTHING) if isinstance(target, dict) else NOTHING
        if target is NOTHING:
            near = suggest.did_you_mean(suggest.nearest_key(match[1], choices.keys(values)))
            raise ConfigError(f"{key}={text[:60]}: there is no key {match[1]!r}{near}")
        if isinstance(target, dict | list) or (isinstance(target, str) and "${" in target):
            raise ConfigError(
                f"{key}={text[:60]}: {match[1]!r} is not a single value that stands by itself"
            )
        total += len(str(target))
    if total > MOST_TEXT:
        raise ConfigError(f"{key}: its references make over {MOST_TEXT:,} characters of text")
    return total


def _replaced(config: DictConfig) -> dict[Any, Any]:
    try:
        values = OmegaConf.to_container(config, resolve=True)
    except (OmegaConfBaseException, RecursionError) as error:
        raise ConfigError(f"a reference cannot be resolved: {command_line.brief(error)}") from error
    assert isinstance(values, dict)
    return values


def _refuse_text(key: str, text: str) -> None:
    """Text that config.yaml could not give back as it is."""
    if "${" in text:
        raise ConfigError(f"{key}={text[:60]!r}: text with '${{' is not accepted")
    if any("\ud800" <= letter <= "\udfff" for letter in text):
        raise ConfigError(f"{key}={text[:60]!r} is not UTF-8 text")
