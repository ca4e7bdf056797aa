"""The hash chain of the ledger: computed by hand, and broken by any change."""

import hashlib
import json

from hypothesis import given
from hypothesis import strategies as st

from fedrun.experiment.ledger import START, broken_line, link


def chain(records: list[dict[str, object]]) -> list[str]:
    previous, lines = START, []
    for record in records:
        linked = link(previous, record)
        previous = linked["hash"]
        lines.append(json.dumps(linked))
    return lines


RECORDS: list[dict[str, object]] = [{"event": "round", "round": n, "a": [n]} for n in range(4)]


def test_the_hash_is_that_of_the_text() -> None:
    linked = link(START, {"b": 1, "a": 2})
    expected = hashlib.sha256(b"0" * 64 + b'{"a": 2, "b": 1}').hexdigest()
    assert linked == {"a": 2, "b": 1, "hash": expected}
    assert list(linked) == ["a", "b", "hash"]
    after = link(expected, {"c": 0})
    assert after["hash"] == hashlib.sha256(expected.encode() + b'{"c": 0}').hexdigest()


def test_a_whole_chain() -> None:
    assert broken_line(chain(RECORDS)) is None
    assert broken_line([]) is None


@given(
    st.integers(0, 3), st.sampled_from(["alter", "remove", "repeat", "swap", "text", "list", "nan"])
)
def test_a_change_breaks_the_chain_at_its_line(index: int, change: str) -> None:
    lines = chain(RECORDS)
    number = index + 1
    if change == "alter":
        lines[index] = lines[index].replace(f"[{index}]", "[9]")
    elif change == "remove":
        del lines[index]
        if index == 3:  # a missing end is told by the hash in the manifest alone
            assert broken_line(lines) is None
            return
    elif change == "repeat":
        lines.insert(index, lines[index])
        number += 1
    elif change == "swap":
        index = min(index, 2)
        number = index + 1
        lines[index], lines[index + 1] = lines[index + 1], lines[index]
    else:
        lines[index] = {"text": "{", "list": "[]", "nan": '{"a": NaN, "hash": ""}'}[change]
    assert broken_line(lines) == number
