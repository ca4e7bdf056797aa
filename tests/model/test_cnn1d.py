"""Convolutions along time: sizes, what a place sees, what it refuses."""

import pytest
import torch
from torch import nn

from fedrun.core.dataset import Spec
from fedrun.core.option import ConfigError
from fedrun.model.cnn1d import cnn1d

HAR = Spec((9, 128), 6, "classes")


def count(module):
    return sum(p.numel() for p in module.parameters())


def test_its_size():
    convolutions = (9 * 5 + 1) * 32 + (32 * 5 + 1) * 64
    assert count(cnn1d(HAR)) == convolutions + (64 * 32 + 1) * 128 + 129 * 6 == 274_822
    for norm in ("group", "batch"):
        assert count(cnn1d(HAR, norm=norm)) == 274_822 + 2 * (32 + 64)
    assert count(cnn1d(HAR, channels=[7], kernel=3, units=5)) == 28 * 7 + (7 * 64 + 1) * 5 + 6 * 6


@pytest.mark.parametrize("norm", ["none", "group", "batch"])
@pytest.mark.parametrize("kernel", [1, 2, 5, 6, 40])
@pytest.mark.parametrize("shape", [(3, 19), (19,), (1, 8)])
def test_one_output_per_class_or_target(shape, kernel, norm):
    module = cnn1d(Spec(shape, 2, "number"), channels=[2, 4, 6], kernel=kernel, units=3, norm=norm)
    assert module(torch.zeros(5, *shape)).shape == (5, 2)


@pytest.mark.parametrize(
    ("kernel", "seen"), [(1, [0]), (2, [0, 1]), (3, [-1, 0, 1]), (4, [-1, 0, 1, 2])]
)
def test_a_place_sees_its_neighbours(kernel, seen):
    module = cnn1d(Spec((1, 16), 2, "classes"), channels=[1], kernel=kernel)
    first = next(at for at, layer in enumerate(module) if isinstance(layer, nn.Conv1d)) + 1
    x = torch.zeros(1, 1, 16, requires_grad=True)
    module[:first](x)[0, 0, 8].backward()
    assert x.grad[0, 0].nonzero().flatten().tolist() == [8 + step for step in seen]


def test_one_sensor_with_or_without_its_axis():
    flat, one = cnn1d(Spec((12,), 2, "classes")), cnn1d(Spec((1, 12), 2, "classes"))
    for mine, other in zip(flat.parameters(), one.parameters(), strict=True):
        mine.data = other.data
    x = torch.randn(3, 12)
    assert torch.equal(flat(x), one(x[:, None]))


@pytest.mark.parametrize(
    ("spec", "options", "message"),
    [
        (Spec((9, 3), 2, "classes"), {}, r"needs examples of channels x steps, with at least 4 "
         r"steps, .* shape 9x3; take fewer model.channels or model=mlp"),
        (Spec((1, 8, 8), 2, "classes"), {}, "shape 1x8x8; take model=cnn or model=mlp"),
        (Spec((8,), 2, "classes", vocabulary=5), {}, "model=cnn1d reads numbers, .* has tokens"),
        (HAR, {"channels": []}, r"model.channels=\[\] is not a list of numbers of at least 1"),
        (HAR, {"channels": [4, 0]}, r"model.channels=\[4, 0\] is not a list of numbers"),
        (HAR, {"channels": [4, 6], "norm": "group", "groups": 4}, "model.groups=4 does not divide "
         "a layer's 6 channels"),
    ],
)  # fmt: skip
def test_mistakes(spec, options, message):
    with pytest.raises(ConfigError, match=message):
        cnn1d(spec, **options)
