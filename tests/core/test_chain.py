import pytest
import torch

from fedrun.core.chain import Layer, Packets, add, decode, drop, encode, total, weigh
from fedrun.core.tree import Tree, row


def packets(updates, weights):
    return Packets(Tree(model=Tree(w=torch.tensor(updates))), torch.tensor(weights))


def mean(packets, keep=None):
    kept = packets if keep is None else drop(packets, torch.tensor(keep))
    return decode([weigh], total(encode([weigh], kept))).update["model"]["w"].tolist()


THREE = [[0.1, 0.2, 0.3], [0.2, 0.3, 0.4], [0.3, 0.4, 0.5]]


def test_the_mean_by_hand():
    assert mean(packets(THREE, [1.0, 1.0, 1.0])) == pytest.approx([0.2, 0.3, 0.4])


def test_the_weighted_mean_by_hand():
    # (1 * 0.1 + 1 * 0.2 + 2 * 0.3) / 4
    assert mean(packets(THREE, [1.0, 1.0, 2.0])) == pytest.approx([0.225, 0.325, 0.425])


def test_weights_count_in_proportion():
    assert mean(packets(THREE, [8.0, 8.0, 16.0])) == mean(packets(THREE, [1.0, 1.0, 2.0]))


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 0.0])
def test_a_dropped_client_changes_nothing(bad):
    four = packets([*THREE, [bad, 1.0, 1e30]], [1.0, 1.0, 2.0, 5.0])
    assert mean(four, [True, True, True, False]) == mean(packets(THREE, [1.0, 1.0, 2.0]))


def test_keeping_everybody_changes_no_bit():
    all_kept = drop(packets(THREE, [1.0, 1.0, 2.0]), torch.tensor([True] * 3))
    assert torch.equal(all_kept.update["model"]["w"], torch.tensor(THREE))


def test_chunks_add_up():
    sent = encode([weigh], packets(THREE, [1.0, 1.0, 2.0]))
    parts = [
        total(Packets(row(sent.update, slice(a, b)), sent.weight[a:b])) for a, b in ((0, 1), (1, 3))
    ]
    found = decode([weigh], add(*parts)).update["model"]["w"]
    assert found.tolist() == pytest.approx(mean(packets(THREE, [1.0, 1.0, 2.0])))


def test_decoding_runs_in_the_opposite_order():
    calls = []

    def layer(name):
        return Layer(
            encode=lambda p: calls.append(f"encode {name}") or p,
            decode=lambda t: calls.append(f"decode {name}") or t,
        )

    chain = [layer("a"), layer("b")]
    decode(chain, total(encode(chain, packets(THREE, [1.0] * 3))))
    assert calls == ["encode a", "encode b", "decode b", "decode a"]
