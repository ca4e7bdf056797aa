import pytest
import torch

from fedrun.core.tree import Tree
from fedrun.engine._objective import as_terms, clipped

PARAMS = [torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([1.0, 2.0])]
GRADS = [torch.tensor([[0.5, 0.5], [1.0, 1.0]]), torch.tensor([0.0, 1.0])]


def values(tensors):
    return [t.tolist() for t in tensors]


def test_drift_and_pull_by_hand():
    drift = Tree(w=torch.ones(2, 2), b=torch.tensor([0.0, -1.0]))
    anchor = Tree(w=torch.zeros(2, 2), b=torch.tensor([1.0, 1.0]))
    terms = as_terms(["w", "b"], drift, anchor, 0.5)
    # g + drift + (w - anchor) / 2
    expected = [[[2.0, 2.5], [3.5, 4.0]], [0.0, 0.5]]
    assert values(terms.gradient(GRADS, PARAMS)) == expected
    assert values(GRADS) == [[[0.5, 0.5], [1.0, 1.0]], [0.0, 1.0]]


def test_terms_go_by_name_and_not_by_order():
    one = as_terms(["w", "b"], Tree(w=torch.ones(2, 2), b=torch.zeros(2)), None, 0.0)
    two = as_terms(["w", "b"], Tree(b=torch.zeros(2), w=torch.ones(2, 2)), None, 0.0)
    assert values(one.gradient(GRADS, PARAMS)) == values(two.gradient(GRADS, PARAMS))


def test_no_terms_change_nothing():
    assert as_terms(["w", "b"], None, None, 0.0).gradient(GRADS, PARAMS) is GRADS
    anchored = as_terms(["w", "b"], None, Tree(w=PARAMS[0] + 1, b=PARAMS[1]), 0.0)
    assert anchored.gradient(GRADS, PARAMS) is GRADS


def test_the_first_clients_of_a_stack():
    drift = Tree(w=torch.tensor([[1.0, 1.0], [9.0, 9.0]]), b=torch.tensor([1.0, 9.0]))
    first = as_terms(["w", "b"], drift, None, 0.0).first(1)
    found = first.gradient([g[:1] for g in GRADS], [p[:1] for p in PARAMS])
    assert values(found) == [[[1.5, 1.5]], [1.0]]


def test_the_norm_is_over_all_parameters():
    grads = [torch.tensor([3.0, 0.0]), torch.tensor([[4.0]])]
    assert torch.stack([g.norm() for g in clipped(grads, 1.0)]).norm() == pytest.approx(1.0)
    assert values(clipped(grads, 2.5)) == [[1.5, 0.0], [[2.0]]]


def test_a_short_gradient_is_not_touched():
    grads = [torch.tensor([3.0]), torch.tensor([4.0])]
    assert values(clipped(grads, 5.0)) == [[3.0], [4.0]]
    assert values(clipped([torch.zeros(3)], 1.0)) == [[0.0] * 3]
