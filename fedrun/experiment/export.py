"""A run's model as a file for other programs, with what they must know to use it.

    RUN/export/model.onnx        or model.pt (TorchScript), model.safetensors
    RUN/export/model.onnx.json   input, output, preparation, origin, privacy; in the file too

The model is read back from what was written, and must answer as the run's own does.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fedrun.core.buffers import model_of
from fedrun.core.option import ConfigError, RunError
from fedrun.core.tree import Tree
from fedrun.experiment.build import Experiment, build
from fedrun.experiment.checkpoint import NAME, load_checkpoint
from fedrun.experiment.choices import node_of
from fedrun.experiment.compose import compose
from fedrun.experiment.export_client import own_model
from fedrun.experiment.export_facts import facts
from fedrun.experiment.export_form import FORMS, Form
from fedrun.experiment.files import sha256, write_bytes, write_json
from fedrun.experiment.manifest import read_manifest
from fedrun.experiment.run import saved_config
from fedrun.experiment.saved import fitting, load_model

TOLERANCE = 1e-5
ROWS = 8  # of the test set that the exported model is tried on


@dataclass(frozen=True)
class Exported:
    """What was written. difference: the largest between its outputs and the run's model's, over
    `rows` test rows; None where nothing here can run it."""

    file: Path
    facts: dict[str, Any]
    difference: float | None
    rows: int

    @property
    def beside(self) -> Path:
        return beside(self.file)


def beside(file: Path) -> Path:
    """Where the facts of an exported file stand."""
    return file.with_name(f"{file.name}.json")


def export(
    run: Path,
    to: str,
    out: Path | None = None,
    *,
    checkpoint: int | None = None,
    client: str | None = None,
    overrides: Sequence[str] = (),
) -> Exported:
    """Write the final model; of an unfinished run that of the last checkpoint.

    to: onnx, torchscript or safetensors; checkpoint: the model after that round, where it is kept.
    client: that client's own model, by its name or number, where the method gives it one.
    overrides: where the data lie now, such as data.root=FOLDER.
    """
    form = form_named(to)
    form.check()
    manifest = read_manifest(run)
    target = place(run, form, out)
    experiment, config = built(run, manifest, overrides)
    if client is not None:
        if checkpoint is not None:
            raise ConfigError("--client takes the newest state, and no --checkpoint")
        if manifest["status"] != "finished":
            raise ConfigError(f"--client needs a finished run, and {run} is {manifest['status']}")
        params, which = own_model(run, experiment, client)
    elif checkpoint is not None:
        params, which = saved_at(run, experiment, checkpoint)
    else:
        params, which = load_model(run, experiment)
    module = deepcopy(experiment.task.load(params)).cpu().eval()
    rows = torch.from_numpy(experiment.dataset.test.x[:ROWS])
    method = str(config["algorithm"]["name"])
    caution = None if client is not None else of_clients(experiment, method)
    told = facts(run, manifest, config, experiment, module, which, caution, form)
    if checkpoint is not None:
        told["training"]["rounds"] = checkpoint
    content = form.write(module, rows[:2], told)
    difference = compared(form, content, module, rows)
    target.parent.mkdir(exist_ok=True)
    told["model"] |= {"file": target.name, "sha256": sha256(content)}
    told["checked"] = {"test_rows": len(rows), "largest_difference": difference}
    write_bytes(target, content)
    write_json(beside(target), told)
    return Exported(target, told, difference, len(rows))


def form_named(to: str) -> Form:
    if to not in FORMS:
        near = difflib.get_close_matches(to.lower(), FORMS, 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ConfigError(f"--to {to} is not accepted (accepted: {', '.join(FORMS)}){hint}")
    return FORMS[to]


def place(run: Path, form: Form, out: Path | None) -> Path:
    """Where to write, made sure of before anything is loaded."""
    if out is None:
        return run / "export" / f"model{form.suffix}"
    out = out.expanduser()
    if not out.parent.is_dir():
        raise ConfigError(f"--out {out}: there is no folder {out.parent}")
    if out.is_dir():
        raise ConfigError(f"--out {out} is a folder; name the file in it")
    if (out.parent / "manifest.json").is_file():
        raise ConfigError(f"--out {out}: a run directory holds nothing but the run's own files")
    return out


def built(
    run: Path, manifest: dict[str, Any], overrides: Sequence[str]
) -> tuple[Experiment, Mapping[str, Any]]:
    """The run's federation on a CPU, by the engine that runs any model, on the same data; and its
    config, with where these lie now."""
    for word in overrides:
        if not word.startswith(("data.root=", "data.path=", "data.test_path=")):
            raise ConfigError(
                f"export takes data.root, data.path and data.test_path beside its options, "
                f"not {word}"
            )
    before = saved_config(run, manifest)
    moved = compose(str(run / "config.yaml"), overrides) if overrides else before
    experiment = build({**moved.values, "engine": node_of("engine", "eager"), "device": "cpu"})
    if experiment.dataset.fingerprint != manifest["data"]["sha256"]:
        raise RunError(
            f"the data of {run} came out different from when the run began, and with them what is "
            f"known of the model's input; bring the old data back"
        )
    return experiment, moved.values


def of_clients(experiment: Experiment, method: str) -> str | None:
    """What the global model is worth where clients have models of their own."""
    algorithm = experiment.federation.algorithm
    if not algorithm.has_global:
        return (
            f"algorithm={method}: the global model is not meant to be used by itself; each "
            f"client's own is made of it and of what the client keeps"
        )
    if algorithm.personal:
        return f"algorithm={method} gives each client a model of its own; this is the global one"
    return None


def saved_at(run: Path, experiment: Experiment, round: int) -> tuple[Tree, str]:
    """The model of a checkpoint that is still there."""
    folder = run / "checkpoints"
    there = sorted(int(m[1]) for path in folder.glob("round_*") if (m := NAME.fullmatch(path.name)))
    if round not in there:
        kept = f"kept: {', '.join(map(str, there))}" if there else "none is kept"
        raise ConfigError(
            f"{run} has no checkpoint of round {round} ({kept}); checkpoint.keep says how many are"
        )
    tree, _ = load_checkpoint(folder / f"round_{round:06d}")
    return fitting(run, experiment, model_of(tree["server"])), f"the model of round {round}"


def compared(form: Form, content: bytes, module: nn.Module, rows: Tensor) -> float | None:
    """The largest difference of outputs, for many rows at once and for one; None where the format
    has nothing here that runs it. A `RunError` where the file answers differently."""
    largest = 0.0
    for part in (rows, rows[:1]):
        with torch.no_grad():
            expected = module(part)
        found = form.run(content, module, part)
        if found is None:
            return None
        if found.shape != expected.shape:
            raise RunError(f"--to {form.name}: outputs of shape {tuple(found.shape)} came back")
        largest = max(largest, float((found - expected).abs().max()))
        if not largest <= TOLERANCE * max(1.0, float(expected.abs().max())):
            raise RunError(
                f"--to {form.name}: the exported model differs from the run's by {largest:.2g} on "
                f"{len(part)} test rows, more than {TOLERANCE:g}; nothing was written"
            )
    return largest
