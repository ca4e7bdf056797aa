"""A YAML file as plain values, within limits.

A config may come from anywhere, so it is bounded before anything works with it: 258 bytes of nested
aliases keep OmegaConf busy for most of a minute, and `${oc.env:...}` would carry a secret into the
run's files. What is read is YAML 1.2's core: text, numbers, true/false, null, lists and mappings;
`yes`, `010` and `2020-01-01` are text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from fedrun.core.option import ConfigError

MOST_BYTES = 2**20
MOST_DEPTH = 32
MOST_NODES = 20_000  # a list of 100,000 numbers kept Hydra busy for half a minute
MOST_DIGITS = 300

INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]*(?:_[0-9]+)*)")
FLOAT = re.compile(
    r"[-+]?(?:(?:[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?|[0-9]+[eE][-+]?[0-9]+)"
)
NOT_FINITE = re.compile(r"([-+]?)\.(inf|Inf|INF|nan|NaN|NAN)")
WORDS = {"": None, "~": None, "null": None, "Null": None, "NULL": None,
         "true": True, "True": True, "TRUE": True,
         "false": False, "False": False, "FALSE": False}  # fmt: skip
REFERENCE = re.compile(r"\$\{([A-Za-z_]\w*(?:\.\w+)*)\}")

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read(file: Path) -> dict[str, Any]:
    """The mapping that a file holds; an empty file is an empty mapping."""
    return parse(_text(file), str(file))


def package_of(file: Path) -> str | None:
    """What the `# @package NAME` line at the top of a file says, if there is one."""
    for line in _text(file).splitlines():
        if line.strip() and not line.startswith("#"):
            return None
        if match := re.match(r"#\s*@package\s+(\S+)", line):
            return match[1]
    return None


def _text(file: Path) -> str:
    try:
        with file.open("rb") as stream:
            content = stream.read(MOST_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror or error}") from error
    if len(content) > MOST_BYTES:
        raise ConfigError(f"{file} is over 1 MiB: that is no config")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file} is not UTF-8 text (byte {error.start})") from error


def parse(text: str, source: str) -> dict[str, Any]:
    """The mapping written in `text`; `source` names it in messages."""
    try:
        value = _Document(yaml.parse(text, Loader=_Loader), source).read()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise ConfigError(f"{source}{_at(mark)}: {error.problem or error.context}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{source} is not YAML: {str(error).splitlines()[0]}") from error
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ConfigError(f"{source} holds no 'key: value' lines; write such as 'rounds: 10'")
    return value


class _Document:
    """Builds plain values from YAML's events, so that a limit stops the work where it is passed."""

    def __init__(self, events: Iterator[Any], source: str) -> None:
        self.events = events
        self.source = source
        self.nodes = 0

    def read(self) -> Any:
        value, documents = None, 0
        for event in self.events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise self.refuse(event, "a second document begins; a config is one")
            elif isinstance(event, yaml.NodeEvent):
                value = self.value(event, depth=1)
        return value

    def value(self, event: Any, depth: int) -> Any:
        self.nodes += 1
        if self.nodes > MOST_NODES:
            raise self.refuse(event, f"more than {MOST_NODES:,} values")
        if depth > MOST_DEPTH:
            raise self.refuse(event, f"nested deeper than {MOST_DEPTH}")
        if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
            raise self.refuse(
                event, "anchors and aliases (& and *) are not accepted; repeat the value"
            )
        if event.tag is not None:
            raise self.refuse(event, f"tags are not accepted: {event.tag}")
        if isinstance(event, yaml.MappingStartEvent):
            return self.mapping(depth)
        if isinstance(event, yaml.SequenceStartEvent):
            return list(self.sequence(depth))
        return self.scalar(event)

    def sequence(self, depth: int) -> Iterator[Any]:
        while not isinstance(event := next(self.events), yaml.SequenceEndEvent):
            yield self.value(event, depth + 1)

    def mapping(self, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            key = self.value(event, depth + 1)
            if not isinstance(key, str):
                raise self.refuse(event, f"a key is a word, not {key!r}")
            if key in found:
                raise self.refuse(event, f"{key!r} stands here a second time")
            if key == "_target_":
                raise self.refuse(
                    event, "'_target_' is not accepted; a factory is named by 'name:'"
                )
            found[key] = self.value(next(self.events), depth + 1)
        return found

    def scalar(self, event: Any) -> Any:
        text: str = event.value
        if event.implicit[0]:
            if text in WORDS:
                return WORDS[text]
            if (INTEGER.fullmatch(text) or FLOAT.fullmatch(text)) and len(text) > MOST_DIGITS:
                raise self.refuse(event, f"a number of more than {MOST_DIGITS} digits")
            if INTEGER.fullmatch(text):
                return int(text)
            if FLOAT.fullmatch(text):
                return float(text)
            if match := NOT_FINITE.fullmatch(text):
                return float(match[1] + match[2])
        if text == "???":
            raise self.refuse(event, "'???' is no value; leave the key out to keep what it was")
        if "${" in REFERENCE.sub("", text) or "\\${" in text:
            example = "in a file '${...}' holds a key, such as '${local.lr}'"
            raise self.refuse(event, f"{text[:60]!r} is not accepted; {example}")
        return text

    def refuse(self, event: Any, reason: str) -> ConfigError:
        return ConfigError(f"{self.source}{_at(event.start_mark)}: {reason}")


def _at(mark: Any) -> str:
    return f" line {mark.line + 1}, column {mark.column + 1}" if mark is not None else ""
