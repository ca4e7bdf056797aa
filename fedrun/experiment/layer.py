"""What one config file says, whichever way it is written.

    data: blobs                          # chooses
    model: {name: mlp, hidden: [128]}    # chooses and sets an option
    local: {lr: 0.01}                    # sets an option of whatever is chosen

and Hydra's own form (`defaults:` with `override /data: blobs`) become the same two parts: the
choices, and the values that lie over the chosen files. A `defaults:` entry `- /example/other`
starts from another file. `expect:`, what a paper reports of this config, is kept apart: it is no
part of what is run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from fedrun.core.option import ConfigError
from fedrun.experiment import choices, config_file, factory, suggest

KEYWORD = "override"
OWN = ("value", "band", "miss", "note")  # of `expect`: about one file, so taken from no other


@dataclass(frozen=True)
class Layer:
    """`choices`: group -> choice; `body`: plain values, without the groups' names; `expect`: as it
    stands in the files."""

    choices: dict[str, choices.Choice] = field(default_factory=dict)
    body: dict[str, Any] = field(default_factory=dict)
    expect: dict[str, Any] = field(default_factory=dict)


def load(config: str) -> Layer:
    """What `config=...` names: a config's name or a path."""
    return _read(locate(config), ())


def locate(config: str) -> Path:
    """The file that `config=...` means; a shipped name goes before a path of the same spelling."""
    path = Path(config).expanduser()
    shipped = choices.config_file_of(config)
    if shipped is not None:
        return shipped
    if path.suffix not in (".yaml", ".yml") and not path.exists():
        raise ConfigError(_not_known(config))
    if path.is_dir():
        inside = next((name for name in ("config.yaml",) if (path / name).is_file()), "FILE.yaml")
        raise ConfigError(f"config={config} is a folder; did you mean 'config={path / inside}'?")
    if not path.exists():
        raise ConfigError(f"config={config}: there is no such file")
    return path


def over(upper: Layer, lower: Layer) -> Layer:
    """`upper` laid over `lower`; where it changes a choice, the old choice's options go."""
    body = dict(lower.body)
    for group, choice in upper.choices.items():
        if group in lower.choices and lower.choices[group] != choice and group in body:
            body |= _kept(group, choice, body.pop(group))
    expect = _merged(lower.expect, upper.expect)
    return Layer({**lower.choices, **upper.choices}, _merged(body, upper.body), expect)


def _kept(group: str, choice: choices.Choice, options: Mapping[str, Any]) -> dict[str, Any]:
    """Those options of a group that still have an owner when it takes this choice."""
    still = map(choices.short, choices.each(choice)) if group in choices.SEVERAL else ()
    kept = {name: options[name] for name in still if name in options}
    return {group: kept} if kept else {}


def beneath(layer: Layer, chosen: Mapping[str, choices.Choice]) -> Layer:
    """The layer as it lies beneath choices of the command line.

    What the file said about another choice's options is dropped; so is what it said about keys
    that the new choice itself sets (algorithm=fedsgd sets local.epochs).
    """
    new = {group: choice for group, choice in chosen.items() if layer.choices.get(group) != choice}
    kept = over(Layer(new), layer)
    for group, choice in new.items():
        if isinstance(choice, str) and ":" not in choice:
            sets = choices.chosen_by(group, choice)
            kept = Layer(
                kept.choices, _without(kept.body, {k: v for k, v in sets.items() if k != group})
            )
    return kept


def _read(file: Path, seen: tuple[Path, ...]) -> Layer:
    if file.resolve() in seen:
        raise ConfigError(f"{file} starts from itself")
    content = config_file.read(file)
    package = config_file.package_of(file)
    if package not in (None, "_global_"):
        raise ConfigError(f"{file}: '# @package {package}' is not accepted; leave the line out")
    expect = content.pop("expect", {})
    if not isinstance(expect, dict):
        raise ConfigError(f"{file}: expect is a set of keys; write 'expect: {{value: ...}}'")
    entries = content.pop("defaults", [])
    if not isinstance(entries, list):
        raise ConfigError(f"{file}: 'defaults' is a list, such as '- override /algorithm: fedprox'")
    own = replace(_plain(content, file), expect=expect)
    layer, placed = Layer(), False
    for entry in entries:
        if entry == "_self_":
            layer, placed = over(own, layer), True
        elif isinstance(entry, str):
            other = _read(_included(entry, file), (*seen, file.resolve()))
            shared = {key: value for key, value in other.expect.items() if key not in OWN}
            layer = over(replace(other, expect=shared), layer)
        else:
            layer = over(Layer(_override(entry, own, file)), layer)
    return layer if placed else over(own, layer)


def _plain(content: dict[str, Any], file: Path) -> Layer:
    """The flat form: the file's own keys, with the choices taken out of the groups."""
    taken: dict[str, choices.Choice] = {}
    body: dict[str, Any] = {}
    groups = choices.groups()
    known = [*choices.root(), *groups]
    for key, value in content.items():
        if "." in key:
            first, _, rest = key.partition(".")
            raise ConfigError(f"{file}: write '{first}: {{{rest}: ...}}' in place of {key!r}")
        if key not in known:
            raise ConfigError(f"{file}: {suggest.no_key(key, known)}")
        if key not in groups:
            inside = choices.root()[key]
            if isinstance(inside, dict) and not isinstance(value, dict):
                example = f"{key}: {{{next(iter(inside))}: ...}}"
                raise ConfigError(f"{file}: {key} is a set of keys; write '{example}'")
            body[key] = value
            continue
        options = dict(value) if isinstance(value, dict) else {"name": value}
        if key in choices.SEVERAL:
            taken[key], options = _several(key, value, file)
        elif "name" in options:
            taken[key] = _name(options.pop("name"), key, file)
        if options:
            body[key] = options
    return Layer(taken, body)


def _several(group: str, value: Any, file: Path) -> tuple[list[str], dict[str, Any]]:
    """The choices, and the options of each under its own name: `tracker: wandb`,
    `tracker: [wandb, mlflow]`, `tracker: {wandb: {mode: online}}`."""
    said = f"{file}: {group}"
    if not isinstance(value, dict):
        return factory.check_choices(said, group, value), {}
    if set(value) == {"name"}:
        return factory.check_choices(said, group, value["name"]), {}
    names, options = [], {}
    for key, node in value.items():
        if not isinstance(node, dict | None):
            raise ConfigError(
                f"{said}.{key}: options stand under the name of a choice,"
                f" such as '{group}: {{{choices.choices(group)[-1]}: {{...}}}}'"
            )
        options[key] = {name: one for name, one in (node or {}).items() if name != "name"}
        names.append(name := (node or {}).get("name", key))
        if choices.short(str(name)) != key:
            raise ConfigError(
                f"{said}.{key}: options of {name} stand under {choices.where(group, str(name))}"
            )
    return factory.check_choices(said, group, names), options


def _name(name: Any, group: str, file: Path) -> str:
    if not isinstance(name, str) or not name:
        known = ", ".join(choices.choices(group))
        raise ConfigError(f"{file}: {group} takes the name of a choice (choices: {known})")
    return name


def _override(entry: Any, own: Layer, file: Path) -> dict[str, choices.Choice]:
    """`override /group: choice` of a defaults list, as a choice."""
    (key, choice), *rest = entry.items() if isinstance(entry, dict) and entry else [("", None)]
    keyword, _, group = key.rpartition(" ")
    group = group.strip().lstrip("/")
    groups = choices.groups()
    if keyword.strip() != KEYWORD or rest:
        near = suggest.did_you_mean(suggest.nearest(keyword.strip(), [KEYWORD])) if keyword else ""
        raise ConfigError(
            f"{file}: {key or entry!r} in 'defaults' is not known{near}"
            " (accepted: 'override /GROUP: CHOICE', '/CONFIG', '_self_')"
        )
    if group not in groups:
        raise ConfigError(f"{file}: {suggest.no_key(group, groups)} (groups: {', '.join(groups)})")
    if group in choices.SEVERAL:
        choice = factory.check_choices(f"{file}: {group}", group, choice)
    elif not isinstance(choice, str):
        raise ConfigError(f"{file}: 'override /{group}' takes one name, not {choice!r}")
    if own.choices.get(group, choice) != choice:
        raise ConfigError(f"{file}: {group} is chosen twice: {choice} and {own.choices[group]}")
    return {group: choice}


def _included(entry: str, file: Path) -> Path:
    path = entry.endswith((".yaml", ".yml"))
    try:
        return locate(str(file.parent / entry) if path else entry.strip("/"))
    except ConfigError as error:
        raise ConfigError(f"{file}: {error}") from error


def _merged(lower: Mapping[str, Any], upper: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(lower)
    for key, value in upper.items():
        below = result.get(key)
        both = isinstance(value, dict) and isinstance(below, dict)
        result[key] = _merged(below, value) if both and below is not None else value
    return result


def _without(body: Mapping[str, Any], sets: Mapping[str, Any]) -> dict[str, Any]:
    """`body` less every value that `sets` also sets."""
    result = dict(body)
    for key, value in sets.items():
        if isinstance(value, dict) and isinstance(result.get(key), dict):
            result[key] = _without(result[key], value)
        else:
            result.pop(key, None)
    return result


def _not_known(config: str) -> str:
    """The sentence for a name that no config has, with the nearest few; baselines are hundreds."""
    names = choices.config_names()
    dotted = [name.replace("/", ".") for name in names]
    near = [key.replace(".", "/") for key in suggest.nearest_key(config.replace("/", "."), dotted)]
    last = {name.rpartition("/")[2]: name for name in names}
    near += [last[word] for word in suggest.nearest(config.rpartition("/")[2], last, most=3)]
    told = f"config={config} is not known{suggest.did_you_mean(list(dict.fromkeys(near))[:3])}"
    if "/" in config:
        return told
    few = [name for name in names if not name.startswith("baseline/")]
    return f"{told} (configs: {', '.join(few)}; `fedrun reproduce` lists the baselines)"
