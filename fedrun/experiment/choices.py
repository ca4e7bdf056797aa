"""What there is to choose from: groups, their choices, config names, keys.

Everything here reads text files only, so that Tab and `--help` never wait for PyTorch.
"""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from fedrun.experiment import config_file

PACKAGE = Path(__file__).resolve().parents[1]
CONTENTS = "train"
SEVERAL = ("tracker",)  # groups that take more than one choice: options are `tracker.wandb.mode`
NOBODY = "none"  # the choice of such a group that stands alone
Choice = str | list[str]  # a list in the groups of SEVERAL


def folder() -> Path:
    """The shipped configs: inside the package when installed, beside it in a checkout."""
    inside = PACKAGE / "configs"
    return inside if inside.is_dir() else PACKAGE.parent / "configs"


def groups() -> tuple[str, ...]:
    """Every group, in the order of the contents page."""
    return tuple(defaults())


def defaults() -> dict[str, str]:
    """The choice of each group when nothing else is said."""
    return _contents(folder())[0]


def root() -> dict[str, Any]:
    """The keys of the contents page that belong to no group, with their values."""
    return _contents(folder())[1]


@lru_cache
def _contents(configs: Path) -> tuple[dict[str, str], dict[str, Any]]:
    page = config_file.read(configs / f"{CONTENTS}.yaml")
    chosen = {
        group: choice
        for entry in page.pop("defaults")
        if isinstance(entry, dict)
        for group, choice in entry.items()
    }
    return chosen, page


def choices(group: str) -> list[str]:
    """The shipped choices of one group."""
    found = (folder() / group).glob("*.yaml")
    return sorted(file.stem for file in found if not file.stem.startswith("_"))


def written() -> list[int]:
    """When each file of a choice was written, in nanoseconds."""
    files = (file for group in groups() for file in os.scandir(folder() / group))
    return [file.stat().st_mtime_ns for file in files]


def config_names() -> list[str]:
    """What `config=` may name: every YAML file under the configs that is no choice of a group.

    A file whose name begins with `_` is for others to start from, and not listed.
    """
    top, taken = folder(), set(groups())
    files = (file.relative_to(top).with_suffix("") for file in top.rglob("[!_]*.yaml"))
    return sorted(file.as_posix() for file in files if file.parts[0] not in taken)


def config_file_of(config: str) -> Path | None:
    """The shipped file that a config's name means, listed or not; None where there is none."""
    parts = config.split("/")
    if not all(re.fullmatch(r"\w[\w.-]*", part) for part in parts) or parts[0] in groups():
        return None
    file = folder().joinpath(*parts[:-1], f"{parts[-1]}.yaml")
    return file if file.is_file() else None


def chosen_by(group: str, choice: str) -> dict[str, Any]:
    """What the file of a shipped choice sets, as one mapping from the root down."""
    file = folder() / group / f"{choice}.yaml"
    body = config_file.read(file)
    package = config_file.package_of(file) or group
    if package != "_global_":
        for part in reversed(package.split(".")):
            body = {part: body}
    return body


def node_of(group: str, choice: str) -> dict[str, Any]:
    """The name and the options of a shipped choice, with their defaults."""
    node = chosen_by(group, choice)
    for part in where(group, choice).split("."):
        node = node[part]
    return node


def where(group: str, choice: str) -> str:
    """The key under which the options of a choice stand.

    >>> where("algorithm", "fedprox"), where("tracker", "wandb"), where("tracker", "a.b:own")
    ('algorithm', 'tracker.wandb', 'tracker.own')
    """
    if group in SEVERAL and choice != NOBODY:
        return f"{group}.{short(choice)}"
    return group


def short(choice: str) -> str:
    """A choice in one word: of `package.module:factory` the last."""
    return choice.rpartition(":")[2]


def each(choice: Choice) -> list[str]:
    """The choices that a group has: one, or several."""
    return choice if isinstance(choice, list) else [choice]


def nodes(values: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The name and options of every choice of a config, by the key under which they stand."""
    found: dict[str, Mapping[str, Any]] = {}
    for group in (group for group in groups() if group in values):
        node = values[group]
        inner = {key: one for key, one in node.items() if isinstance(one, Mapping)}
        if group in SEVERAL and inner:
            found |= {f"{group}.{key}": one for key, one in inner.items()}
        else:
            found[group] = node
    return found


def holders(group: str, option: str) -> list[str]:
    """The choices of a group that have this option."""
    return [choice for choice in choices(group) if option in node_of(group, choice)]


def keys(values: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Every key of a config that takes a value, in full: `rounds`, `clients.count`, `local.lr`.

    The `name` of a choice is left out: one chooses by `group=name`.
    """
    found: list[str] = []
    for key, value in values.items():
        if isinstance(value, Mapping):
            found += keys(value, f"{prefix}{key}.")
        elif not (prefix and key == "name"):
            found.append(f"{prefix}{key}")
    return found


def doc(group: str, choice: str) -> str:
    """The first line of a shipped factory's docstring, read without importing its module."""
    file = PACKAGE / group / f"{choice}.py"
    if not file.is_file():
        return ""
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == choice:
            return (ast.get_docstring(node) or "").partition("\n")[0]
    return ""
