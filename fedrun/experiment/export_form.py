"""The forms that a model is exported in: each is written, and run again from what was written.

ONNX by PyTorch's exporter over `torch.export`, the first axis free. TorchScript by scripting, and
by tracing where a model cannot be scripted; PyTorch calls it deprecated and still reads it. Of
safetensors the tensors alone: whoever has the model's code puts them in.
"""

from __future__ import annotations

import io
import json
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor, nn
from torch.jit.frontend import FrontendError

from fedrun.core.option import ConfigError, RunError

INPUT, OUTPUT, KEY = "input", "output", "fedrun"
UNSCRIPTED = (FrontendError, RuntimeError, TypeError, ValueError, AttributeError, OSError)


@dataclass(frozen=True)
class Form:
    """write: (module, two rows, facts) -> the file's bytes; run: (those, module, rows) -> outputs,
    or None where nothing here can run them; check: whether what it needs is installed."""

    name: str
    suffix: str
    write: Callable[[nn.Module, Tensor, dict[str, Any]], bytes]
    run: Callable[[bytes, nn.Module, Tensor], Tensor | None]
    check: Callable[[], None] = lambda: None


def write_onnx(module: nn.Module, rows: Tensor, facts: dict[str, Any]) -> bytes:
    """One file, with the facts as its metadata `fedrun`."""
    import onnx

    shapes = ({0: torch.export.Dim("batch")},)
    try:
        with quiet():
            program = torch.onnx.export(
                module, (rows,), dynamo=True, dynamic_shapes=shapes, verbose=False,
                input_names=[INPUT], output_names=[OUTPUT],
            )  # fmt: skip
    except (torch.onnx.errors.OnnxExporterError, RuntimeError) as error:
        raise RunError(f"--to onnx: PyTorch cannot export this model: {why(error)}") from error
    assert program is not None
    proto = program.model_proto
    # Where in whose files each operation was written is nobody's business.
    for graph in (proto.graph, *proto.functions):
        for part in (*graph.node, *graph.value_info):
            del part.metadata_props[:]
            part.doc_string = ""
    del proto.graph.metadata_props[:]
    del proto.metadata_props[:]
    proto.metadata_props.add(key=KEY, value=json.dumps(facts))
    onnx.checker.check_model(proto)
    content: bytes = proto.SerializeToString(deterministic=True)
    return content


def run_onnx(content: bytes, module: nn.Module, rows: Tensor) -> Tensor | None:
    """By ONNX's own reference; None where that lacks one of the model's operations."""
    import onnx
    from onnx.reference import ReferenceEvaluator

    try:
        session = ReferenceEvaluator(onnx.load_from_string(content))
        (found,) = session.run(None, {INPUT: rows.numpy()})
    except NotImplementedError:
        return None
    return torch.from_numpy(found)


def check_onnx() -> None:
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            f"--to onnx needs onnx and onnxscript ({error}): pip install 'fedrun[onnx]'"
        ) from error


def write_torchscript(module: nn.Module, rows: Tensor, facts: dict[str, Any]) -> bytes:
    """With the facts as its extra file `fedrun.json`."""
    with quiet():
        try:
            made = torch.jit.script(module)
        except UNSCRIPTED:
            try:
                made = torch.jit.trace(module, (rows,))  # type: ignore[no-untyped-call]
            except (RuntimeError, TypeError) as error:
                what = f"--to torchscript: PyTorch cannot export this model: {why(error)}"
                raise RunError(what) from error
        file = io.BytesIO()
        torch.jit.save(made, file, _extra_files={f"{KEY}.json": json.dumps(facts)})
    return file.getvalue()


def run_torchscript(content: bytes, module: nn.Module, rows: Tensor) -> Tensor:
    with quiet(), torch.no_grad():
        made = torch.jit.load(io.BytesIO(content))  # type: ignore[no-untyped-call]
        found: Tensor = made(rows)
    return found


def write_safetensors(module: nn.Module, rows: Tensor, facts: dict[str, Any]) -> bytes:
    """`module.state_dict()`, with the facts as metadata `fedrun`."""
    tensors = {name: leaf.contiguous().clone() for name, leaf in module.state_dict().items()}
    content: bytes = save_tensors(tensors, {"format": "pt", KEY: json.dumps(facts)})
    return content


def run_safetensors(content: bytes, module: nn.Module, rows: Tensor) -> Tensor:
    other = deepcopy(module)
    with torch.no_grad():
        for leaf in other.parameters():
            leaf.zero_()
        other.load_state_dict(load_tensors(content))
        found: Tensor = other(rows)
    return found


@contextmanager
def quiet() -> Iterator[None]:
    """The exporters warn of PyTorch's own deprecations and of packages that nobody asked for."""
    log = logging.getLogger("torch.onnx")
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(before)


def why(error: BaseException) -> str:
    """The first line of what began it."""
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error).strip().partition("\n")[0] or type(error).__name__


FORMS = {
    form.name: form
    for form in (
        Form("onnx", ".onnx", write_onnx, run_onnx, check_onnx),
        Form("torchscript", ".pt", write_torchscript, run_torchscript),
        Form("safetensors", ".safetensors", write_safetensors, run_safetensors),
    )
}
