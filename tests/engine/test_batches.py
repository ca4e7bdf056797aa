import pytest
import torch

from fedrun.core.task import Examples
from fedrun.engine import _batches
from fedrun.engine._batches import batches

ROWS, BOUNDS = [3, 1, 4, 1, 5, 0, 2], [0, 3, 5, 6, 7]


@pytest.mark.parametrize("images_last", [False, True])
@pytest.mark.parametrize("shape", [(5,), (1, 2, 3), (2, 2, 3)])
@pytest.mark.parametrize("room", [0, 24, 100, 1 << 20])
def test_the_same_batches_whatever_is_gathered_at_once(shape, room, images_last, monkeypatch):
    monkeypatch.setattr(_batches, "BLOCK_BYTES", room)
    x = torch.arange(6.0 * torch.Size(shape).numel()).view(6, *shape)
    examples = Examples(x, 10 * torch.arange(6))
    found = list(batches(examples, torch.tensor(ROWS), BOUNDS, images_last))
    assert [y.tolist() for _, y in found] == [[30, 10, 40], [10, 50], [0], [20]]
    for x_found, y in found:
        assert torch.equal(x_found, x[y // 10])


def test_a_client_is_gathered_in_blocks(monkeypatch):
    gathered = []
    monkeypatch.setattr(_batches, "BLOCK_BYTES", 5 * 4)
    monkeypatch.setattr(_batches, "channels_last", lambda x: gathered.append(len(x)) or x)
    examples = Examples(torch.zeros(6, 1), torch.zeros(6))
    list(batches(examples, torch.tensor(ROWS), BOUNDS, images_last=True))
    assert gathered == [5, 2]
