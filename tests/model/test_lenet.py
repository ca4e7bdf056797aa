"""The LeNet-like network: the papers' sizes, the layers by hand, engines on unpadded images."""

import numpy as np
import pytest
import torch

from fedrun.core.dataset import Spec
from fedrun.core.option import ConfigError
from fedrun.core.partition import Ragged
from fedrun.core.plan import chunk_plan
from fedrun.core.task import Examples, Task
from fedrun.core.tree import expand
from fedrun.engine.eager import eager
from fedrun.engine.native import native
from fedrun.engine.stack import stack
from fedrun.local.sgd import sgd
from fedrun.model.lenet import lenet

MNIST = Spec((1, 28, 28), 10, "classes")
CIFAR = Spec((3, 32, 32), 10, "classes")


def count(module):
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(
    ("spec", "options", "size"),
    [
        (MNIST, {}, 44_426),  # NIID-Bench
        (CIFAR, {}, 62_006),
        (CIFAR, {"channels": [64, 64], "units": [384, 192]}, 797_962),  # FedDyn
        (MNIST, {"padding": 2}, 61_706),  # LeNet-5
        (MNIST, {"projection": 256}, 75_046),  # MOON
    ],
)
def test_the_papers_parameter_counts(spec, options, size):
    assert count(lenet(spec, **options)) == size


@pytest.mark.parametrize("kind", ["classes", "binary", "number"])
def test_one_output_per_class_or_target(kind):
    outputs = {"classes": 7, "binary": 1, "number": 2}[kind]
    module = lenet(Spec((3, 17, 20), outputs, kind), padding=1)
    assert module(torch.zeros(5, 3, 17, 20)).shape == (5, outputs)


def test_the_smallest_image_by_hand():
    # 16 pixels a side: 12 after the first convolution, 6 pooled, 2 after the second, 1 pooled.
    # All weights 1 and no bias: of a blank image with one bright pixel each place of the first
    # convolution that sees it is 1, and one such place in each 2x2 window.
    module = lenet(Spec((1, 16, 16), 1, "number"), channels=[1, 1], units=[1, 1])
    with torch.no_grad():
        for p in module.parameters():
            p.fill_(1.0 if p.ndim > 1 else 0.0)
    x = torch.zeros(1, 1, 16, 16)
    x[..., 8, 8] = 1.0  # seen by places 4 to 8, so by windows 2, 3 and 4 of each side
    assert module(x).item() == 9.0
    x[..., 8, 8] = -1.0
    assert module(x).item() == 0.0  # ReLU


@pytest.mark.parametrize(
    ("spec", "options", "message"),
    [
        (Spec((1, 15, 28), 2, "classes"), {}, r"model=lenet needs images of at least 16x16 pixels, "
         r"and this data set has examples of shape 1x15x28; take model=mlp or model=logistic"),
        (Spec((1, 11, 28), 2, "classes"), {"padding": 2}, "at least 12x12 pixels"),
        (Spec((784,), 2, "classes"), {}, "examples of shape 784"),
        (MNIST, {"channels": [6]}, r"model.channels=\[6\] is not two numbers of at least 1"),
        (MNIST, {"units": [6, 0]}, r"model.units=\[6, 0\] is not a list of numbers of at least 1"),
    ],
)  # fmt: skip
def test_mistakes(spec, options, message):
    with pytest.raises(ConfigError, match=message):
        lenet(spec, **options)


@pytest.mark.parametrize("make", [native, stack])
def test_the_fast_engines_know_it(make):
    torch.manual_seed(0)
    spec = Spec((3, 18, 16), 4, "classes")
    task, local = Task(lenet(spec), spec), sgd(1, lr=0.05, batch_size=4, epochs=2)
    examples = Examples.trial(spec, 17)
    held = Ragged.of([np.arange(9), np.arange(9, 17)])
    plan = chunk_plan(held, local.work, 0, 1, np.arange(2))
    start = expand(task.current(), 2)
    ends = []
    for engine in (eager(task, examples, local, 0), make(task, examples, local, 0)):
        end = engine.solver(plan)(start).params
        ends.append(torch.cat([leaf.flatten() for leaf in (end - start).values()]))
    assert engine.how in ("compiled kernel", "PyTorch operations", "lockstep, written out")
    assert (ends[1] - ends[0]).norm() <= 1e-5 * ends[0].norm()
