import numpy as np
import pytest
import torch

from fedrun.core.chain import (
    Context,
    Layer,
    Packets,
    add,
    decode,
    drop,
    encode,
    init,
    told,
    total,
    weigh,
)
from fedrun.core.tree import Tree, row


def packets(updates, weights):
    return Packets(Tree(model=Tree(w=torch.tensor(updates))), torch.tensor(weights))


HERE = Context(1, np.arange(3))


def sent_through(chain, packets):
    return encode(chain, packets, Tree(), HERE)


def received(chain, sum):
    return decode(chain, sum, Tree(), HERE)[0].update["model"]["w"]


def mean(packets, keep=None):
    kept = packets if keep is None else drop(packets, torch.tensor(keep))
    return received([weigh], total(sent_through([weigh], kept))).tolist()


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
    sent = sent_through([weigh], packets(THREE, [1.0, 1.0, 2.0]))
    parts = [
        total(Packets(row(sent.update, slice(a, b)), sent.weight[a:b])) for a, b in ((0, 1), (1, 3))
    ]
    found = received([weigh], add(*parts))
    assert found.tolist() == pytest.approx(mean(packets(THREE, [1.0, 1.0, 2.0])))


def test_decoding_runs_in_the_opposite_order():
    calls = []

    def layer(name):
        return Layer(
            encode=lambda p, told, where: calls.append(f"encode {name}") or p,
            decode=lambda t, state, where: (calls.append(f"decode {name}") or t, state),
        )

    chain = [layer("a"), layer("b")]
    received(chain, total(sent_through(chain, packets(THREE, [1.0] * 3))))
    assert calls == ["encode a", "encode b", "decode b", "decode a"]


def test_each_layer_has_its_own_state_and_words():
    def counting(first):
        return Layer(
            encode=lambda p, told, where: Packets(p.update * float(told["by"]), p.weight),
            decode=lambda t, state, where: (t, Tree(by=state["by"] + 1)),
            init=lambda: Tree(by=first),
            told=lambda state: state,
        )

    chain = [counting(2), weigh, counting(5)]
    states = init(chain)
    assert states == {"0": {"by": 2}, "2": {"by": 5}}
    sent = encode(chain, packets(THREE, [1.0] * 3), told(chain, states), HERE)
    assert sent.update["model"]["w"][0].tolist() == pytest.approx([1.0, 2.0, 3.0])
    _, renewed = decode(chain, total(sent), states, HERE)
    assert renewed == {"0": {"by": 3}, "2": {"by": 6}}
    assert states == {"0": {"by": 2}, "2": {"by": 5}}
