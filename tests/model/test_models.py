import pytest
import torch
from torch import nn

from fedrun.core.dataset import Spec
from fedrun.core.option import ConfigError
from fedrun.experiment.bind import bind
from fedrun.experiment.build import build_model
from fedrun.model.cnn import cnn
from fedrun.model.logistic import logistic
from fedrun.model.mlp import mlp

MNIST = Spec((1, 28, 28), 10, "classes")


def count(module):
    return sum(p.numel() for p in module.parameters())


def test_the_papers_parameter_counts():
    assert count(mlp(MNIST)) == 199_210  # McMahan et al. 2017, section 3
    assert count(cnn(MNIST)) == 1_663_370
    for norm in ("group", "batch"):
        assert count(cnn(MNIST, norm=norm)) == 1_663_370 + 2 * (32 + 64)
    assert count(logistic(MNIST)) == 7850


@pytest.mark.parametrize("make", [mlp, logistic, cnn])
@pytest.mark.parametrize("kind", ["classes", "binary", "number"])
def test_one_output_per_class_or_target(make, kind):
    outputs = {"classes": 7, "binary": 1, "number": 2}[kind]
    module = make(Spec((3, 9, 6), outputs, kind))
    assert module(torch.zeros(5, 3, 9, 6)).shape == (5, outputs)


def test_the_layers_of_an_mlp():
    module = mlp(Spec((4,), 3, "classes"), hidden=[6, 5])
    kinds = [type(layer) for layer in module]
    assert kinds == [nn.Flatten, nn.Linear, nn.ReLU, nn.Linear, nn.ReLU, nn.Linear]
    assert [p.shape for p in module.parameters()] == [(6, 4), (6,), (5, 6), (5,), (3, 5), (3,)]
    assert count(mlp(Spec((4,), 3, "classes"), hidden=[])) == 4 * 3 + 3


def test_the_networks_of_niid_bench_and_others_that_an_mlp_is():
    sizes = {
        (123, 2, (32, 16, 8)): 4650,  # NIID-Bench, a9a
        (54, 2, (32, 16, 8)): 2442,  # covtype
        (3, 2, ()): 8,  # FCUBE
        (784, 10, (200,)): 159_010,  # IFCA
        (784, 10, (100, 100)): 89_610,  # FedDyn, EMNIST
        (784, 10, (512, 256, 64)): 550_346,  # FedRep, FEMNIST
    }
    for (features, outputs, hidden), size in sizes.items():
        assert count(mlp(Spec((features,), outputs, "classes"), hidden=list(hidden))) == size


def test_an_mlp_can_start_with_normal_weights_and_equal_biases():
    spec = Spec((1000,), 10, "classes")
    given, plain = mlp(spec, hidden=[200], init=0.1, bias=0.25), mlp(spec, hidden=[200])
    for layer in (given[1], given[3]):
        assert layer.weight.std().item() == pytest.approx(0.1, rel=0.05)
        assert layer.weight.mean().item() == pytest.approx(0.0, abs=0.01)
        assert (layer.bias == 0.25).all()
    bound = 1000**-0.5
    assert plain[1].weight.abs().max().item() == pytest.approx(bound, rel=0.01)
    assert plain[1].bias.unique().numel() > 100
    assert (mlp(spec, bias=0.0)[1].bias == 0).all()
    assert mlp(spec, init=0.1)[1].bias.unique().numel() > 100


def test_logistic_can_start_at_zero_or_as_wide_as_told():
    spec = Spec((1000,), 10, "classes")
    assert all((p == 0).all() for p in logistic(spec, init=0.0).parameters())
    wide = logistic(spec, init=3.0)[1]
    assert wide.weight.std().item() == pytest.approx(3.0, rel=0.05)
    assert (wide.bias == 0).all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: mlp(MNIST, hidden=[5, 0]), r"model.hidden=\[5, 0\]: every layer needs at least 1"),
        (
            lambda: cnn(Spec((64,), 2, "classes")),
            r"model=cnn needs images .* shape 64; take model=mlp",
        ),
        (lambda: cnn(Spec((1, 3, 9), 2, "classes")), r"at least 4x4 pixels"),
        (lambda: cnn(MNIST, channels=[4]), r"model.channels=\[4\] is not two numbers"),
        (lambda: cnn(MNIST, channels=[4, 0]), r"model.channels=\[4, 0\] is not two numbers"),
    ],
)
def test_mistakes(make, message):
    with pytest.raises(ConfigError, match=message):
        make()


def built(seed):
    node = {"name": "mlp", "hidden": [4], "init": None, "bias": None}
    return build_model(bind("model", node), MNIST, seed)


def test_the_first_weights_follow_from_the_seed_alone():
    before = torch.random.get_rng_state()
    first, again, other = built(1), built(1), built(2)
    assert torch.equal(torch.random.get_rng_state(), before)
    for a, b, c in zip(*(m.parameters() for m in (first, again, other)), strict=True):
        assert torch.equal(a, b)
        assert not torch.equal(a, c)
