"""Every shipped model in every form: written, read back by the form's own reader, and compared."""

import io
import json
import warnings
from importlib import import_module

import pytest
import torch
from safetensors import safe_open
from torch import Tensor, nn

from fedrun.core.dataset import Spec
from fedrun.core.option import RunError
from fedrun.core.task import Examples
from fedrun.experiment.choices import choices
from fedrun.experiment.export_form import FORMS, quiet

SYMBOLS = tuple(map(str, range(20)))
IMAGES = Spec((1, 28, 28), 4, "classes", tuple("abcd"))
TEXT = Spec((12,), 20, "tokens", SYMBOLS, 20)
LAST = Spec((12,), 20, "classes", SYMBOLS, 20)
SIGNALS = Spec((3, 128), 4, "classes", tuple("abcd"))
# A model that cannot be exported would stand here with its reason; there is none.
CASES = {
    "logistic": [(IMAGES, {})],
    "mlp": [(IMAGES, {}), (Spec((5,), 2, "number"), {"hidden": []})],
    "cnn": [(IMAGES, {})],
    "lenet": [(IMAGES, {})],
    "cnn_femnist": [(IMAGES, {})],
    "resnet18": [(IMAGES, {}), (IMAGES, {"norm": "batch"})],
    "cnn1d": [(SIGNALS, {})],
    "char_lstm": [(TEXT, {"hidden": 16}), (LAST, {"hidden": 16})],
    "transformer": [(TEXT, {}), (LAST, {"positions": "sinusoidal"}), (TEXT, {"dropout": 0.5})],
}
EVERY = [(name, *case) for name, cases in CASES.items() for case in cases]
LARGE = ("resnet18",)
SOME_LATER = [pytest.param(*case, marks=[pytest.mark.slow] * (case[0] in LARGE)) for case in EVERY]
FACTS = {"a fact": "ü <b>"}


def made(name: str, spec: Spec, options: dict) -> nn.Module:
    """With running statistics that are not those of the beginning."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        module = getattr(import_module(f"fedrun.model.{name}"), name)(spec, **options)
        for buffer in module.buffers():
            if buffer.is_floating_point():
                buffer.add_(torch.rand_like(buffer))
    return module.eval()


def answers(module: nn.Module, x: Tensor) -> Tensor:
    with torch.no_grad():
        return module(x)


def test_the_law_is_about_every_shipped_model() -> None:
    assert set(CASES) == set(choices("model"))


@pytest.mark.parametrize(("name", "spec", "options"), SOME_LATER)
def test_torchscript_and_safetensors_answer_alike(name: str, spec: Spec, options: dict) -> None:
    module, x = made(name, spec, options), Examples.trial(spec, 5).x
    script = FORMS["torchscript"].write(module, x[:2], FACTS)
    extra = {"fedrun.json": ""}
    with quiet():
        read = torch.jit.load(io.BytesIO(script), _extra_files=extra)
    assert json.loads(extra["fedrun.json"]) == FACTS
    for rows in (x, x[:1]):
        torch.testing.assert_close(answers(read, rows), answers(module, rows), atol=1e-5, rtol=1e-5)
    tensors = FORMS["safetensors"].write(module, x[:2], FACTS)
    other = FORMS["safetensors"].run(tensors, made(name, spec, options), x)
    assert torch.equal(other, answers(module, x))


def test_safetensors_hold_everything_and_the_facts(tmp_path) -> None:
    module = made("resnet18", IMAGES, {"norm": "batch"})
    file = tmp_path / "m.safetensors"
    file.write_bytes(FORMS["safetensors"].write(module, torch.empty(0), FACTS))
    with safe_open(file, "pt") as opened:
        assert json.loads(opened.metadata()["fedrun"]) == FACTS
        assert set(opened.keys()) == set(module.state_dict())
        assert any(name.endswith("running_var") for name in opened.keys())  # noqa: SIM118


class Odd(nn.Module):
    """Cannot be scripted (a dictionary of functions), and can be traced."""

    def forward(self, x: Tensor) -> Tensor:
        return {"twice": lambda y: 2 * y}["twice"](x)


class Worse(nn.Module):
    """Cannot be traced either."""

    def forward(self, x: Tensor) -> str:
        return {"no": str}["no"](x)


def test_what_cannot_be_scripted_is_traced_and_else_refused() -> None:
    x = torch.rand(3, 2)
    form = FORMS["torchscript"]
    assert torch.equal(form.run(form.write(Odd(), x[:2], {}), Odd(), x), 2 * x)
    with pytest.raises(RunError, match="--to torchscript: PyTorch cannot export this model"):
        form.write(Worse(), x, {})


@pytest.mark.slow
@pytest.mark.parametrize(("name", "spec", "options"), EVERY)
def test_onnx_answers_alike(name: str, spec: Spec, options: dict) -> None:
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxscript")
    module, x = made(name, spec, options), Examples.trial(spec, 5).x
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        content = FORMS["onnx"].write(module, x[:2], FACTS)
    model = onnx.load_from_string(content)
    assert {entry.key: entry.value for entry in model.metadata_props} == {
        "fedrun": json.dumps(FACTS)
    }
    (given,), (answer,) = model.graph.input, model.graph.output
    sizes = [[d.dim_param or d.dim_value for d in side.type.tensor_type.shape.dim]
             for side in (given, answer)]  # fmt: skip
    assert sizes == [["batch", *spec.input_shape], ["batch", *spec.output_shape]]
    assert (given.name, answer.name) == ("input", "output")
    assert b"/model/" not in content  # no path of anybody's files
    for rows in (x, x[:1]):
        expected = answers(module, rows)
        found = [FORMS["onnx"].run(content, module, rows), by_runtime(content, rows)]
        for outputs in found:
            if outputs is not None:
                torch.testing.assert_close(outputs, expected, atol=1e-5, rtol=1e-5)


def by_runtime(content: bytes, rows: Tensor) -> Tensor | None:
    try:
        import onnxruntime
    except ImportError:
        return None
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return torch.from_numpy(session.run(None, {"input": rows.numpy()})[0])
