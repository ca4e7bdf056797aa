"""What must be known to use a model, as plain values: what goes in, what comes out, where it is
from, and what may be said of its privacy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

import fedrun
from fedrun.core.dataset import Dataset, Spec
from fedrun.core.preparation import Preparation
from fedrun.experiment.build import Experiment
from fedrun.experiment.export_form import INPUT, OUTPUT, Form
from fedrun.experiment.files import read_json
from fedrun.experiment.tracked import PLACES

SCHEMA = 1
MEANINGS = {
    "classes": "a score (logit) for each class; softmax over the last axis gives probabilities",
    "binary": "one logit; its sigmoid is the probability of the second class",
    "number": "the predicted numbers",
    "tokens": "at each position a score (logit) for each symbol to come next",
}
UNKNOWN = "not recorded: what the reader of this data set does to raw examples must be seen there"
WITHHELD = "the constants are withheld: they would tell of single clients"


def facts(
    run: Path,
    manifest: dict[str, Any],
    config: Mapping[str, Any],
    experiment: Experiment,
    module: nn.Module,
    which: str,
    caution: str | None,
    form: Form,
) -> dict[str, Any]:
    """All of them, but the file's own name and sum.

    config: the run's, with where the data lie now.
    """
    dataset, spec = experiment.dataset, experiment.dataset.spec
    summary = read_json(run / "summary.json") if manifest["status"] == "finished" else {}
    return {
        "schema": SCHEMA,
        "model": {
            "format": form.name,
            "what": which,
            "run": run.resolve().name,
            "run_model_sha256": manifest.get("model"),
            "config": config["model"],
            "parameters": sum(leaf.numel() for leaf in module.parameters()),
            **({"caution": caution} if caution else {}),
        },
        "input": {
            "name": INPUT,
            "shape": ["batch", *spec.input_shape],
            "dtype": "float32" if spec.vocabulary is None else "int64",
            **symbols(spec),
            "preparation": preparation(experiment),
        },
        "output": {
            "name": OUTPUT,
            "shape": ["batch", *spec.output_shape],
            "dtype": "float32",
            "meaning": MEANINGS[spec.kind],
            **({"classes": list(spec.classes)} if spec.classes else {}),
        },
        "task": spec.kind,
        "data": {
            "name": dataset.name,
            "source": source(dataset, config["data"]),
            "licence": dataset.licence or None,
            "sha256": manifest["data"]["sha256"],
            "config": {key: value for key, value in config["data"].items() if key not in PLACES},
            "partition": experiment.partition.rule,
        },
        "training": {
            "algorithm": config["algorithm"],
            "rounds": summary.get("rounds"),
            "seed": config["seed"],
            "config_sha256": manifest["config"]["sha256"],
            "engine": manifest.get("engine"),
        },
        "privacy": privacy(experiment, summary),
        "versions": {"fedrun": fedrun.__version__, "torch": torch.__version__},
    }


def preparation(experiment: Experiment) -> dict[str, Any]:
    """What was done to raw examples."""
    prepared = told(experiment)
    found = prepared.to_json() if prepared else {"how": UNKNOWN}
    if experiment.partition.data is not None:
        found["then"] = f"seen through the partition ({experiment.partition.rule})"
    return found


def told(experiment: Experiment) -> Preparation | None:
    """What may be told of the preparation: of a private run nothing of single clients."""
    prepared = experiment.dataset.prepared
    if prepared and prepared.by_client and experiment.privacy.claim is not None:
        return replace(prepared, how=f"{prepared.how}; {WITHHELD}", by_client={})
    return prepared


def source(dataset: Dataset, config: Mapping[str, Any]) -> str:
    """Where the data came from, without the folders in which they lie on this machine."""
    words = dataset.source
    for place in (Path(config[key]).expanduser() for key in PLACES if config.get(key)):
        if place.is_absolute():
            words = words.replace(str(place), place.name)
    return words


def privacy(experiment: Experiment, summary: dict[str, Any]) -> dict[str, Any] | None:
    """The statement about all rounds; None where the run claims nothing."""
    if experiment.privacy.claim is None:
        return None
    unknown = "not stated before the run is finished; privacy.json has what was released so far"
    caveats = list(experiment.privacy.claim.caveats)
    return dict(summary.get("privacy") or {"epsilon": unknown, "caveats": caveats})


def symbols(spec: Spec) -> dict[str, Any]:
    """Which token is which, where the classes to predict are the tokens themselves."""
    if spec.vocabulary is None:
        return {}
    known = len(spec.classes) == spec.vocabulary
    return {"tokens": spec.vocabulary, **({"symbols": list(spec.classes)} if known else {})}
