"""A resolved config as text that reads back as the same config, and as a hash."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import yaml  # type: ignore[import-untyped]

from fedrun.experiment import config_file


def dump(values: Mapping[str, Any]) -> str:
    """YAML in the config's own order; `config_file.parse` gives the same values back."""
    text = yaml.dump(values, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=10_000)
    return str(text)


NO_PART_OF_IT = ("name", "run", "tracker")  # where a run is kept, and who is told of it


def config_hash(values: Mapping[str, Any]) -> str:
    """SHA-256, in hexadecimal, of what the run is: all but where it is kept, `run` and `name`, and
    who is told of it, `tracker`."""
    kept = {key: value for key, value in values.items() if key not in NO_PART_OF_IT}
    text = json.dumps(kept, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


class _Dumper(yaml.SafeDumper):  # type: ignore[misc]
    """Lists on one line, no aliases, quotes around all text that reads as something else."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _list(dumper: Any, items: list[Any]) -> Any:
    return dumper.represent_sequence("tag:yaml.org,2002:seq", items, flow_style=True)


def _text(dumper: Any, text: str) -> Any:
    number = config_file.FLOAT.fullmatch(text) or config_file.INTEGER.fullmatch(text)
    style = "'" if number else None
    if not text.isprintable():  # YAML breaks a line at U+0085, U+2028 and U+2029 too
        style = '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(list, _list)
_Dumper.add_representer(str, _text)
