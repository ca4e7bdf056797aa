"""What Tab offers: groups, their choices, nested keys, config names. Reads text files only."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

NOTHING = object()
VALUES = {"device": ["cpu", "cuda", "auto"], "clients.sampling": ["uniform", "size"]}


def complete(incomplete: str) -> list[str]:
    """Candidates for one word of a command line.

    Bash cuts words at `=`: in `algorithm=fed<Tab>` the word is `fed`, and what stands before it is
    in COMP_WORDS only; there the bare value is offered. Zsh and fish hand over the whole word.
    """
    key, equals, value = incomplete.partition("=")
    if equals:
        return [f"{key}={choice}" for choice in listed(key, value)]
    key = bash_key()
    if key:
        return listed(key, incomplete)
    found = [f"{known}=" for known in all_keys() if known.startswith(incomplete)]
    if len(found) == 1:
        # The only candidate would be followed by a blank, and what follows here is the value. With
        # its values beside it the shell fills in what they share, which is the key.
        found += [found[0] + value for value in values_of(found[0][:-1])]
    return found


def complete_group(incomplete: str) -> list[str]:
    """Candidates for `fedrun list GROUP`."""
    from fedrun.experiment import choices

    return [group for group in (*choices.groups(), "config") if group.startswith(incomplete)]


def complete_form(incomplete: str) -> list[str]:
    """Candidates for `fedrun export --to`."""
    return [form for form in ("onnx", "torchscript", "safetensors") if form.startswith(incomplete)]


def complete_baseline(incomplete: str) -> list[str]:
    """Candidates for `fedrun reproduce NAME`: baselines, then overrides."""
    if "=" not in incomplete and not bash_key():
        from fedrun.report.baseline import shipped

        found = [name for name in shipped() if name.startswith(incomplete)]
        if found:
            return found
    return complete(incomplete)


def bash_key() -> str:
    """The key before the `=` at which bash has cut the word under the cursor, or nothing."""
    words = os.environ.get("COMP_WORDS", "").split("\n")  # Typer's script joins them so
    here = int(os.environ.get("COMP_CWORD", "0"))
    for equals in (here, here - 1):
        if 1 < equals < len(words) and words[equals] == "=":
            return words[equals - 1]
    return ""


def listed(key: str, start: str) -> list[str]:
    """The values of a key; of several values with commas, as a sweep takes them, the last one."""
    before, comma, last = start.rpartition(",")
    taken = before.split(",")
    return [before + comma + value for value in values_of(key, last) if value not in taken]


def values_of(key: str, start: str = "") -> Iterator[str]:
    """The values that a key may take, where they can be listed, else its defaults."""
    from fedrun.experiment import choices

    if key == "config":
        found = [*choices.config_names(), *_yaml_files(start)]
    elif key in choices.groups():
        found = choices.choices(key)
    else:
        found = VALUES.get(key) or _defaults(key)
    return (value for value in found if value.startswith(start))


def all_keys() -> list[str]:
    """Groups, `config`, and every nested key of the default config and of all other choices."""
    from fedrun.experiment import choices

    keys = ["config", *choices.groups(), *choices.keys(choices.root())]
    for group in choices.groups():
        for choice in choices.choices(group):
            keys += choices.keys({group: choices.chosen_by(group, choice)[group]})
    return list(dict.fromkeys(keys))


def _defaults(key: str) -> list[str]:
    """What a key is when nothing is said, by the choices of its group, as one types it."""
    from fedrun.experiment import choices

    group = key.partition(".")[0]
    pages = [choices.root()]
    if group in choices.groups():
        pages = [choices.chosen_by(group, choice) for choice in choices.choices(group)]
    nodes = [_at(page, key) for page in pages]
    nested = "." in key
    found = [node for node in nodes if not isinstance(node, dict) and (nested or node is not None)]
    found = [node for node in found if node is not NOTHING]
    if any(isinstance(value, bool) for value in found):
        found = [True, False]
    return list(dict.fromkeys(_typed(value) for value in found))


def _at(page: Any, key: str) -> Any:
    for part in key.split("."):
        page = page.get(part, NOTHING) if isinstance(page, dict) else NOTHING
    return page


def _typed(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value).replace(" ", "")


def _yaml_files(start: str) -> list[str]:
    """The user's own config files in the folder that has been typed so far."""
    folder = start[: start.rfind("/") + 1]
    found = Path(folder or ".").glob("*.yaml")
    return sorted(f"{folder}{file.name}" for file in found)
