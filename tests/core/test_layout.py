import pytest
import torch
from torch import nn

from fedrun.core import measure
from fedrun.core.dataset import Spec
from fedrun.core.layout import channels_last, takes_channels_last
from fedrun.core.task import Examples, Task

GREY, COLOUR = Spec((1, 8, 8), 3, "classes"), Spec((3, 8, 8), 3, "classes")


class Viewer(nn.Module):
    """`view` cannot join what lies apart, and with channels innermost the pixels do."""

    def __init__(self, channels):
        super().__init__()
        self.convolution = nn.Conv2d(channels, 4, 3, padding=1)
        self.linear = nn.Linear(256, 3)

    def forward(self, x):
        return self.linear(self.convolution(x).view(len(x), -1))


def net(channels):
    return nn.Sequential(
        nn.Conv2d(channels, 4, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(64, 3),
    )


@pytest.mark.parametrize("channels", [1, 3])
def test_the_same_numbers_lie_differently(channels):
    x = torch.arange(2.0 * channels * 20).view(2, channels, 4, 5)
    y = channels_last(x)
    assert torch.equal(x, y)
    assert y.stride() == (20 * channels, 1, 5 * channels, channels)
    assert nn.Conv2d(channels, 2, 3)(y).is_contiguous(memory_format=torch.channels_last)


def test_a_part_of_one_channel_images_keeps_its_place():
    x = torch.arange(60.0).view(3, 1, 4, 5)
    assert torch.equal(channels_last(x[1:]), x[1:])
    turned = x.transpose(2, 3)
    assert torch.equal(channels_last(turned), turned)


def test_other_shapes_stay():
    x = torch.zeros(2, 3)
    assert channels_last(x) is x


def test_who_takes_it():
    assert takes_channels_last(Task(net(1), GREY))
    assert takes_channels_last(Task(net(3), COLOUR))
    assert not takes_channels_last(Task(Viewer(1), GREY))
    assert not takes_channels_last(Task(Viewer(3), COLOUR))
    linear = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
    assert not takes_channels_last(Task(linear, GREY))


def test_the_trial_leaves_model_and_generator_alone():
    module = nn.Sequential(
        nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Dropout(), nn.Flatten(), nn.Linear(72, 3)
    )
    before, state = torch.get_rng_state(), {k: v.clone() for k, v in module.state_dict().items()}
    assert takes_channels_last(Task(module.eval(), GREY))
    assert torch.equal(torch.get_rng_state(), before)
    assert not module.training
    assert all(torch.equal(value, state[key]) for key, value in module.state_dict().items())


@pytest.mark.parametrize("module", [net(1), Viewer(1)])
def test_scores_do_not_depend_on_layout_or_batches(module):
    task = Task(module, GREY)
    examples = Examples.trial(GREY, 300)
    scores = measure.score(task, task.current(), examples)
    with torch.no_grad():
        outputs = module(examples.x)
    assert (scores.prediction == outputs.argmax(1).numpy()).all()
    expected = task.loss(outputs, examples.y).double()
    torch.testing.assert_close(torch.from_numpy(scores.loss), expected, rtol=1e-5, atol=1e-6)
