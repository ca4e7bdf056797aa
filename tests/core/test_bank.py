import torch

from fedrun.core.bank import PAGE, Bank, Pages
from fedrun.core.tree import Tree


def rows(*values):
    return Tree(control=torch.tensor(values))


FRESH = Bank(Tree(control=torch.tensor([0.0])))


def test_a_newcomer_has_the_fresh_state():
    assert FRESH.take([3, 1])["control"].tolist() == [[0.0], [0.0]]


def test_clients_keep_what_was_put():
    bank = FRESH.put([5, 2], rows([1.0], [2.0])).put([2], rows([3.0]))
    assert bank.take([2, 4, 5])["control"].tolist() == [[3.0], [0.0], [1.0]]


def test_a_bank_is_never_changed():
    first = FRESH.put([1], rows([1.0]))
    first.put([1], rows([9.0]))
    assert first.take([1])["control"].tolist() == [[1.0]]
    assert FRESH.rows == {}


def test_a_kept_row_is_no_view_of_the_chunk():
    chunk = rows([1.0], [2.0])
    bank = FRESH.put([0, 1], chunk)
    chunk["control"].zero_()
    assert bank.take([0, 1])["control"].tolist() == [[1.0], [2.0]]


def test_stateless_clients_cost_nothing():
    bank = Bank(Tree()).put([0, 1], Tree())
    assert bank.rows == {}
    assert bank.to_tree() == Tree()
    assert bank.take([0, 1]) == Tree()


def test_chunks_are_put_at_once():
    bank = FRESH.put_all([([5, 2], rows([1.0], [2.0])), ([], rows()), ([900], rows([3.0]))])
    assert bank.take([2, 5, 900])["control"].tolist() == [[2.0], [1.0], [3.0]]
    assert FRESH.put_all([([], rows())]) is FRESH


def test_a_change_copies_no_more_than_its_pages():
    before = Pages.of(dict.fromkeys(range(3 * PAGE), 0))
    after = before.updated({PAGE + 1: 1, 10**9: 2})
    assert (after[PAGE], after[PAGE + 1], after[10**9]) == (0, 1, 2)
    assert (before[PAGE + 1], before.get(10**9)) == (0, None)
    assert len(after) == len(list(after)) == len(before) + 1
    shared = [number for number, page in before._pages.items() if after._pages[number] is page]
    assert shared == [0, 2]


def test_there_and_back():
    bank = FRESH.put([7, 2], rows([1.0], [2.0]))
    tree = bank.to_tree()
    assert tree["clients"].tolist() == [2, 7]
    back = FRESH.restored(tree)
    assert back.take([2, 3, 7])["control"].tolist() == [[2.0], [0.0], [1.0]]
    assert FRESH.restored(FRESH.to_tree()).rows == {}
