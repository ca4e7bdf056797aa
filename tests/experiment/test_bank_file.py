"""Rows on the disk: what a state keeps is there as long as somebody can go on from that state."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fedrun.core.bank import Bank
from fedrun.core.option import RunError
from fedrun.core.tree import Tree, expand, stack
from fedrun.experiment.bank_file import BankFile, age

FRESH = Tree(control=Tree(w=torch.zeros(2, 3), b=torch.zeros(())), flag=torch.tensor([True]))
ROW_BYTES = 24 + 4 + 1
OPEN: list[Bank] = []


def state(*values: float) -> Tree:
    """Tree_C of rows that can be told apart."""
    v = torch.tensor(values, dtype=torch.float32)
    w = v.view(-1, 1, 1) + torch.arange(6.0).view(2, 3)
    return Tree(control=Tree(w=w, b=-v), flag=(v > 2).view(-1, 1))


def values(tree: Tree) -> list[float]:
    found: list[float] = (-tree["control"]["b"]).tolist()
    for place, value in enumerate(found):
        row = state(value) if value else expand(FRESH, 1)
        assert torch.equal(tree["control"]["w"][place], row["control"]["w"][0])
        assert torch.equal(tree["flag"][place], row["flag"][0])
    return found


def opened(folder: Path, checkpoints: Sequence[int] = ()) -> Bank:
    bank = Bank(FRESH, store=BankFile(folder, checkpoints))
    OPEN.append(bank)
    return bank


@pytest.fixture(autouse=True)
def close_all() -> Iterator[None]:
    yield
    while OPEN:
        OPEN.pop().store.close()


def test_clients_keep_what_was_put(tmp_path: Path) -> None:
    bank = opened(tmp_path).put([5, 2_000_000], state(1, 2)).put([2_000_000], state(3))
    assert values(bank.take([5, 7, 2_000_000])) == [1, 0, 3]
    assert (tmp_path / "clients.rows").stat().st_size == 3 * ROW_BYTES
    assert (tmp_path / "clients.index").stat().st_size == 3 * 24


def test_nothing_is_written_before_the_first_row(tmp_path: Path) -> None:
    bank = opened(tmp_path / "checkpoints")
    assert values(bank.take([1, 2])) == [0, 0]
    assert bank.put_all([]).to_tree() == Tree()
    assert list(tmp_path.iterdir()) == []


def test_an_older_bank_is_as_it_was(tmp_path: Path) -> None:
    first = opened(tmp_path).put([1, 2], state(1, 2))
    second = first.put([1], state(9))
    assert values(first.take([1, 2])) == [1, 2]
    assert values(second.take([1, 2])) == [9, 2]


def test_one_bank_cannot_be_gone_on_from_twice(tmp_path: Path) -> None:
    first = opened(tmp_path).put([1], state(1))
    first.put([1], state(2))
    with pytest.raises(AssertionError, match="gone on from once"):
        first.put([1], state(3))


@pytest.mark.parametrize(
    "row",
    [
        Tree(control=Tree(w=torch.zeros(2, 3), b=torch.zeros(1)), flag=FRESH["flag"]),
        Tree(control=Tree(w=torch.zeros(2, 3).double(), b=torch.zeros(())), flag=FRESH["flag"]),
    ],
)
def test_a_row_of_another_shape_or_type_is_refused(tmp_path: Path, row: Tree) -> None:
    with pytest.raises(RunError, match=r"where client_init gives a torch.float32 of shape"):
        opened(tmp_path).put([1], stack([row]))


def test_the_order_of_the_names_does_not_matter(tmp_path: Path) -> None:
    whole = state(4)
    row = Tree(flag=whole["flag"][0], control=Tree(b=whole["control"]["b"][0],
                                                   w=whole["control"]["w"][0]))  # fmt: skip
    assert values(opened(tmp_path).put([3], stack([row])).take([3])) == [4]


def test_there_and_back(tmp_path: Path) -> None:
    bank = opened(tmp_path).put([7, 300], state(1, 2))
    saved = bank.to_tree()
    bank.put([7, 8], state(5, 6))  # after the checkpoint, before the kill
    back = opened(tmp_path, (age(bank),)).restored(saved)
    assert values(back.take([7, 8, 300])) == [1, 0, 2]
    assert back.to_tree()["sha256"].tolist() == saved["sha256"].tolist()
    assert (tmp_path / "clients.index").stat().st_size == 2 * 24
    again = back.put([8], state(6))
    assert values(again.take([7, 8, 300])) == [1, 6, 2]
    assert (tmp_path / "clients.rows").stat().st_size == 4 * ROW_BYTES  # no slot is lost
    assert opened(tmp_path).restored(Tree()).rows == {}
    assert (tmp_path / "clients.index").stat().st_size == 0


def test_a_checkpoint_that_holds_the_rows_itself_is_taken_over(tmp_path: Path) -> None:
    inside = Bank(FRESH).put([3, 9], state(1, 2)).to_tree()
    assert values(opened(tmp_path).restored(inside).take([3, 9])) == [1, 2]


def damaged(folder: Path, file: str) -> AbstractContextManager[object]:
    return pytest.raises(
        RunError, match=rf"{file} is damaged: .*\n.*delete {folder} and resume, to begin again"
    )


@pytest.mark.parametrize("damage", ["flip", "cut", "gone"])
def test_a_damaged_row_is_noticed_when_it_is_read(tmp_path: Path, damage: str) -> None:
    saved = opened(tmp_path).put([1, 2], state(1, 2)).to_tree()
    file = tmp_path / "clients.rows"
    whole = file.read_bytes()
    for position in range(ROW_BYTES, 2 * ROW_BYTES):
        for bit in range(8):
            content = bytearray(whole)
            content[position] ^= 1 << bit
            file.write_bytes({"flip": bytes(content), "cut": whole[:position], "gone": b""}[damage])
            bank = opened(tmp_path).restored(saved)
            with damaged(tmp_path, "clients.rows"):
                bank.take([2])
            if damage != "gone":
                assert values(bank.take([1])) == [1]
            bank.store.close()
            if damage != "flip":
                return


def test_a_row_of_another_time_is_noticed(tmp_path: Path) -> None:
    """A write that the disk lost leaves a whole row, but not the right one."""
    bank = opened(tmp_path).put([1, 2], state(1, 2))
    content = (tmp_path / "clients.rows").read_bytes()
    (tmp_path / "clients.rows").write_bytes(content[ROW_BYTES:] + content[:ROW_BYTES])
    with damaged(tmp_path, "clients.rows"):
        bank.take([2])


@pytest.mark.parametrize("change", ["flip", "cut", "gone"])
def test_a_damaged_index_is_noticed(tmp_path: Path, change: str) -> None:
    saved = opened(tmp_path).put([1, 2], state(1, 2)).to_tree()
    file = tmp_path / "clients.index"
    content = bytearray(file.read_bytes())
    content[8] ^= 1
    if change == "gone":
        file.unlink()
    else:
        file.write_bytes(content if change == "flip" else content[:-1])
    with damaged(tmp_path, "clients.index"):
        opened(tmp_path).restored(saved)


rounds = st.lists(
    st.tuples(
        st.sets(st.integers(0, 5), max_size=4),  # who keeps a new state
        st.sampled_from(["", "", "save", "kill", "step back"]),
        st.booleans(),  # whether the event is handled before the next round is over
    ),
    max_size=25,
)


@settings(deadline=None)
@given(rounds, st.integers(1, 3))
def test_every_kept_checkpoint_is_whole_at_every_instant(
    tmp_path_factory: pytest.TempPathFactory, rounds: list, keep: int
) -> None:
    folder = tmp_path_factory.mktemp("bank") / "checkpoints"
    bank, now, counter = opened(folder), {}, 0.0
    saved: list[tuple[int, Tree, dict[int, float]]] = []
    waiting: list[Bank] = []
    late = most_late = 0  # rows written by rounds that nobody has handled yet

    def check(bank: Bank, expected: dict[int, float]) -> None:
        assert values(bank.take(range(6))) == [expected.get(client, 0.0) for client in range(6)]

    for clients, event, at_once in rounds:
        new = {client: counter + place for place, client in enumerate(sorted(clients), start=1)}
        counter += len(new)
        bank, now = bank.put(list(new), state(*new.values())) if new else bank, now | new
        waiting.append(bank)
        late += len(new)
        most_late = max(most_late, late)
        if at_once or event:
            for older in waiting:
                bank.store.commit(older)
            waiting, late = [], 0
        if event == "save":
            bank.store.hold(bank)
            saved = [*saved, (age(bank), bank.to_tree(), now)][-keep:]
            bank.store.retain([number for number, _, _ in saved])
        if event in ("kill", "step back"):
            saved = saved[:-1] if event == "step back" else saved
            tree, now = saved[-1][1:] if saved else (Tree(), {})
            bank.store.close()
            bank = opened(folder, [number for number, _, _ in saved]).restored(tree)
        check(bank, now)
        if folder.exists():
            copy = shutil.copytree(folder, folder.with_name("copy"), dirs_exist_ok=True)
            for _, tree, expected in saved:
                check(opened(copy).restored(tree), expected)
                OPEN.pop().store.close()
                shutil.copy(folder / "clients.index", copy)  # `restored` cut it
            rows = (folder / "clients.rows").stat().st_size / ROW_BYTES
            assert rows <= 6 * (1 + keep) + most_late
