"""What stands in configs/partition is what the factories say."""

from importlib import import_module
from inspect import Parameter, signature
from pathlib import Path

import pytest
from omegaconf import OmegaConf

CONFIGS = sorted((Path(__file__).parents[2] / "configs" / "partition").glob("*.yaml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_the_file_holds_the_name_and_each_default(path):
    held = OmegaConf.to_container(OmegaConf.load(path))
    held = held.get("partition", held)
    factory = getattr(import_module(f"fedrun.partition.{path.stem}"), path.stem)
    options = {
        name: parameter.default
        for name, parameter in signature(factory).parameters.items()
        if parameter.kind is Parameter.KEYWORD_ONLY
    }
    assert held == {"name": path.stem} | options


def test_natural_leaves_the_count_to_the_data():
    [path] = (path for path in CONFIGS if path.stem == "natural")
    assert path.read_text().startswith("# @package _global_\n")
    assert OmegaConf.load(path).clients.count is None
