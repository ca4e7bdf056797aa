"""What Tab offers: groups, their choices, nested keys, config names. Reads text files only."""

from __future__ import annotations

import os


def complete(incomplete: str) -> list[str]:
    """Candidates for one word of a command line.

    Bash cuts words at `=`: in `algorithm=fed<Tab>` the word is `fed`, and what stands before it is
    in COMP_WORDS only; there the bare value is offered. Zsh and fish hand over the whole word.
    """
    key, equals, value = incomplete.partition("=")
    if equals:
        return [f"{key}={choice}" for choice in values_of(key) if choice.startswith(value)]
    key = bash_key(incomplete)
    if key:
        return [choice for choice in values_of(key) if choice.startswith(incomplete)]
    return [f"{known}=" for known in all_keys() if known.startswith(incomplete)]


def complete_group(incomplete: str) -> list[str]:
    from fedrun.experiment import choices

    return [group for group in (*choices.groups(), "config") if group.startswith(incomplete)]


def bash_key(incomplete: str) -> str:
    """The key before the `=` that bash has cut off, or nothing."""
    words = os.environ.get("COMP_WORDS", "").split()
    if incomplete and words and words[-1] == incomplete:
        words = words[:-1]
    if len(words) >= 2 and words[-1] == "=":
        return words[-2]
    last = words[-1] if words else ""
    return last[:-1] if last.endswith("=") else last.partition("=")[0] if "=" in last else ""


def values_of(key: str) -> list[str]:
    """The values that a key may take, where they can be listed."""
    from fedrun.experiment import choices

    if key == "config":
        return choices.config_names()
    if key in choices.groups():
        return choices.choices(key)
    return {"device": ["cpu", "cuda", "auto"], "clients.sampling": ["uniform", "size"]}.get(key, [])


def all_keys() -> list[str]:
    """Groups, `config`, and every nested key of the default config and of all other choices."""
    from fedrun.experiment import choices, config_file

    page = config_file.read(choices.folder() / "train.yaml")
    page.pop("defaults")
    keys = ["config", *choices.groups(), *choices.keys(page)]
    for group in choices.groups():
        for choice in choices.choices(group):
            keys += choices.keys({group: choices.chosen_by(group, choice)[group]})
    return list(dict.fromkeys(keys))
