"""From a config's name and a command line to plain values. Hydra and OmegaConf end here.

    configs/train.yaml < the chosen files < config=NAME < the command line

A config file is read by us (`layer`), handed to Hydra's store as one more config that lies over the
rest, and merged there, so that the grammar and the order are Hydra's own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import hydra
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from fedrun.core.option import ConfigError
from fedrun.experiment import bind, choices, command_line, factory, layer, resolve
from fedrun.experiment.config_text import config_hash, dump
from fedrun.experiment.signature import NEEDED

__all__ = ["Composed", "compose", "config_hash", "dump"]

FILE = "config"  # the group and the name under which a user's file is merged
KEPT = 1024  # sets of choices, of 0.1 MB each: more than most sweeps have
_bases: dict[str, DictConfig] = {}


@dataclass(frozen=True)
class Composed:
    """`values`: plain and resolved; `choices`: group -> choice; `config_name` and `overrides`: as
    they were given."""

    values: dict[str, Any]
    choices: dict[str, str]
    config_name: str
    overrides: list[str]

    @property
    def command(self) -> list[str]:
        """The arguments that give this config again."""
        named = self.config_name != choices.CONTENTS
        return [f"config={self.config_name}", *self.overrides] if named else self.overrides


def compose(config: str = choices.CONTENTS, overrides: Sequence[str] = ()) -> Composed:
    """The config that `config=CONFIG OVERRIDES...` stands for; ConfigError for a user's mistake."""
    line = command_line.read(overrides)
    values = resolve.resolved(_merged(config, line))
    chosen = {group: named(values, group) for group in choices.groups() if group in values}
    return Composed(values, chosen, config, list(overrides))


def named(values: Mapping[str, Any], group: str) -> str:
    """The choice of a group, or its choices: `tensorboard,wandb`."""
    nodes = choices.nodes({group: values[group]}).values()
    return ",".join(str(node.get("name")) for node in nodes)


def _merged(config: str, line: command_line.CommandLine) -> DictConfig:
    """Let Hydra merge; where it cannot, say which argument is to blame."""
    file = layer.Layer() if config == choices.CONTENTS else layer.load(config)
    for group, choice in file.choices.items():
        if group not in line.chosen:
            for name in choices.each(choice):
                factory.check_choice(group, name)
    file = layer.beneath(file, line.chosen)
    chosen = [*line.choosing, f"+{FILE}={FILE}"] if file != layer.Layer() else line.choosing
    try:
        base = _base(chosen, _stored(file, line.chosen))
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(f"the config does not fit: {command_line.brief(error)}") from error
    try:
        return _laid_over(base, line.setting)
    except (HydraException, OmegaConfBaseException) as error:
        bind.refuse(_to_blame(base, line.setting))
        raise ConfigError(f"the config does not fit: {command_line.brief(error)}") from error


def _base(chosen: list[str], nodes: dict[str, dict[str, Any]]) -> DictConfig:
    """What Hydra makes of the choices. It takes most of the time of composing, and many command
    lines differ in other keys alone: so it is kept. The key holds what users' files say, and when
    each of ours was written: a notebook may be open while a choice is edited."""
    key = repr((choices.folder(), choices.written(), chosen, nodes))
    if key not in _bases:
        with _hydra(nodes):
            base = hydra.compose(choices.CONTENTS, chosen)
        if len(_bases) == KEPT:
            del _bases[next(iter(_bases))]  # the oldest
        _bases[key] = base
    return _bases[key]


def _laid_over(base: DictConfig, setting: Sequence[Override]) -> DictConfig:
    """What Hydra does with the other arguments once the chosen files are merged."""
    merged = deepcopy(base)
    ConfigLoaderImpl._apply_overrides_to_config(list(setting), merged)
    return merged


def _to_blame(base: DictConfig, setting: Sequence[Override]) -> list[str]:
    """A sentence for each argument that cannot be laid over the config as it is without them."""
    values = OmegaConf.to_container(base)
    assert isinstance(values, dict)
    plain = {str(key): value for key, value in values.items()}
    unknown, unfit = [], []
    for override in setting:
        key, argument = override.key_or_group, str(override.input_line)
        new = override.is_add() or override.is_force_add()
        missing = command_line.unknown(key, plain)
        if override.is_add() and missing is None:
            unknown.append(f"{argument}: {key} is there already; write {argument.lstrip('+')}")
        elif missing is not None and not new:
            unknown.append(missing)
        else:
            try:
                _laid_over(base, [override])
            except (HydraException, OmegaConfBaseException) as error:
                unfit.append(f"{argument[:60]} does not fit: {command_line.brief(error)}")
    return unknown + unfit


def _stored(file: layer.Layer, chosen: Mapping[str, choices.Choice]) -> dict[str, dict[str, Any]]:
    """What Hydra shall find besides the shipped files: the user's file, and the defaults of users'
    factories, whose signatures take the place of a YAML file."""
    defaults = [{f"override /{group}": choice} for group, choice in file.choices.items()]
    nodes = {f"{FILE}/{FILE}": {"defaults": [*defaults, "_self_"], **file.body}}
    every = {**file.choices, **chosen}
    for group, choice in ((key, name) for key in every for name in choices.each(every[key])):
        if factory.is_plugin(choice):
            options = {
                name: "???" if option.default is NEEDED else option.default
                for name, option in bind.options_of(group, choice).items()
            }
            nodes[f"{group}/{choice}"] = {"name": choice, **options}
    return nodes


@contextmanager
def _hydra(nodes: Mapping[str, Mapping[str, Any]]) -> Iterator[None]:
    """Hydra, started on our configs and these nodes; one that the caller runs is set aside."""
    state, store = GlobalHydra.instance(), ConfigStore.instance()
    outer, state.hydra = state.hydra, None
    held, store.repo = store.repo, dict(store.repo)
    try:
        for path, node in nodes.items():
            group, _, name = path.partition("/")
            package = "_global_" if group == FILE else choices.where(group, name)
            store.store(name, node, group, package)
        with hydra.initialize_config_dir(str(choices.folder()), version_base=None):
            yield
    finally:  # Hydra copies the whole store each time it composes: what stays there slows it down
        store.repo = held
        GlobalHydra.instance().hydra = outer
