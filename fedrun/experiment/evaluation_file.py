"""`evaluation.json`: what `fedrun evaluate` found of a finished run's model, for a report to show.

It names the SHA-256 of the model that was scored, so that one of an older model is known. It is no
part of what the run itself wrote: nothing depends on it, and it can be deleted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fedrun.core.option import RunError
from fedrun.experiment.files import read_json, write_json

if TYPE_CHECKING:
    from fedrun.core.dataset import Array
    from fedrun.core.measure import Scores
    from fedrun.core.partition import Ragged
    from fedrun.experiment.build import Experiment

FILE = "evaluation.json"
SCHEMA = 1
MOST_CLASSES = 200  # whose confusion is kept
MOST_LISTED = 10_000  # clients with a figure each; of more, percentiles alone


def write(
    run: Path,
    manifest: Mapping[str, Any],
    experiment: Experiment,
    whole: Scores | None,
    own: Scores | None,
) -> None:
    """Keep what was scored: by the global model, and by the clients' own ones in their order."""
    from fedrun.experiment.evaluation import places, scored_clients

    shares = experiment.partition.test
    facts: dict[str, Any] = {"schema": SCHEMA, "model": manifest["model"]}
    if experiment.task.has_accuracy:
        facts["classes"] = list(experiment.dataset.spec.classes)
    if whole is not None:
        facts["global"] = figures(experiment, whole, shares)
    if own is not None:
        held = places(shares, np.concatenate(scored_clients(experiment)))
        facts["personal"] = figures(experiment, own, held)
    write_json(run / FILE, facts)


def figures(experiment: Experiment, scores: Scores, shares: Ragged) -> dict[str, Any]:
    """Confusion over all rows, and each client's figure over its own; of those who take part."""
    from fedrun.core.measure import per_client_mean

    accuracy = experiment.task.has_accuracy
    shares = shares.only(experiment.seen)
    values = per_client_mean(scores.correct if accuracy else scores.loss, shares)
    found: dict[str, Any] = {
        "figure": "accuracy" if accuracy else "loss",
        "examples": len(shares.rows),
        "clients": len(shares.holders),
    }
    if len(values) > MOST_LISTED:
        found["percentiles"] = np.quantile(values, np.linspace(0, 1, 101)).tolist()
    else:
        names = experiment.partition.names
        found["names"] = [names[client] for client in shares.holders]
        found["values"] = values.tolist()
        found["sizes"] = shares.sizes[shares.holders].tolist()
    classes = len(experiment.dataset.spec.classes)
    if accuracy and classes <= MOST_CLASSES:
        # All positions of sequences.
        found["confusion"] = confusion(scores.y.ravel(), scores.prediction.ravel(), classes)
    return found


def confusion(truth: Array, guess: Array, classes: int) -> list[list[int]]:
    """Rows are true classes, columns predicted ones.

    >>> confusion(np.array([0, 0, 1]), np.array([0, 1, 1]), 2)
    [[1, 1], [0, 1]]
    """
    counts = np.bincount(truth * classes + guess, minlength=classes**2)
    found: list[list[int]] = counts.reshape(classes, classes).tolist()
    return found


def evaluate_run(run: Path) -> None:
    """Score a finished run's model on its own data, as `fedrun evaluate` does, and keep that."""
    from fedrun.core.measure import score
    from fedrun.experiment.build import build
    from fedrun.experiment.directory import read_manifest
    from fedrun.experiment.run import evaluation_config
    from fedrun.experiment.same_data import refuse_other_data
    from fedrun.experiment.saved import load_model

    manifest = read_manifest(run)
    if manifest["status"] != "finished":
        raise RunError(f"{run} is {manifest['status']}; only a finished run's model is kept scored")
    experiment = build(evaluation_config(run, manifest, []).values)
    refuse_other_data(run, manifest, experiment)
    params, _ = load_model(run, experiment)
    has_global = experiment.federation.algorithm.has_global
    answer = experiment.engine.answer
    whole = score(experiment.task, params, experiment.test, answer) if has_global else None
    write(run, manifest, experiment, whole, own_scores(run, experiment))


def own_scores(run: Path, experiment: Experiment) -> Scores | None:
    """Of the clients' own models; None where they have none, or none that may be scored."""
    from fedrun.core.measure import joined
    from fedrun.experiment.evaluation import score_here, scores_own
    from fedrun.experiment.saved import last_state

    if not scores_own(experiment):
        return None
    with last_state(run, experiment) as state:
        own = score_here(experiment, state).own
        assert own is not None
        return joined(own)


def read_evaluation(run: Path, model: str | None) -> tuple[dict[str, Any] | None, str]:
    """What is kept, or None and why there is nothing to be shown of this model."""
    if not (run / FILE).is_file():
        return None, "not evaluated"
    found = read_json(run / FILE)
    parts = [found[name] for name in ("global", "personal") if name in found]
    if found.get("schema") != SCHEMA or not all(map(_is_whole, parts)):
        raise RunError(f"{run / FILE} is damaged; write it again with: fedrun evaluate {run}")
    if found.get("model") != model:
        return None, "evaluated before the run was made longer"
    return found, ""


def _is_whole(part: Any) -> bool:
    lists: Sequence[Any] = [
        part.get(name, []) if isinstance(part, dict) else None
        for name in ("percentiles", "names", "values", "sizes", "confusion")
    ]
    return all(isinstance(each, list) for each in lists)
