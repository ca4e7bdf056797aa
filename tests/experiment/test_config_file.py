"""Reading YAML: plain values, limits, and where a mistake stands."""
# ruff: noqa: E501  (an error text stands on one line)

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fedrun.core.option import ConfigError
from fedrun.experiment import config_file
from fedrun.experiment.config_text import config_hash, dump


def parse(text: str):
    return config_file.parse(text, "FILE")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1), ("-7", -7), ("1_000", 1000), ("010", "010"), ("1:30", "1:30"), ("0x1f", "0x1f"),
        ("1.5", 1.5), ("1e-3", 1e-3), ("1.0e-05", 1e-5), (".5", 0.5), ("1.", 1.0), ("-.inf", -float("inf")),
        ("true", True), ("False", False), ("yes", "yes"), ("off", "off"), ("'1'", "1"), ('"true"', "true"),
        ("null", None), ("~", None), ("", None), ("'~'", "~"), ("2020-01-01", "2020-01-01"),
        ("[1, [a, 2.0]]", [1, ["a", 2.0]]), ("{b: {c: null}}", {"b": {"c": None}}), ("${a.b}", "${a.b}"),
    ],
)  # fmt: skip
def test_plain_values(text, value):
    found = parse(f"key: {text}")["key"]
    assert found == value
    assert type(found) is type(value)


def test_not_a_number():
    assert parse("a: .nan")["a"] != parse("a: .nan")["a"]


def test_an_empty_file_is_an_empty_mapping(tmp_path: Path):
    (tmp_path / "a.yaml").write_text("# nothing yet\n")
    assert config_file.read(tmp_path / "a.yaml") == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seed: 1\nrounds: a: b", "FILE line 2, column 10: "),
        ("a: 1\na: 2", "FILE line 2, column 1: 'a' stands here a second time"),
        ("a: {b: 1, b: 2}", "column 11: 'b' stands here a second time"),
        ("a: &x 1", "anchors and aliases"),
        ("a: *x", "anchors and aliases"),
        ("a: !!python/name:os.system x", "tags are not accepted"),
        ("a: !mine x", "tags are not accepted"),
        ("- 1", "holds no 'key: value' lines"),
        ("only text", "holds no 'key: value' lines"),
        ("1: a", "a key is a word, not 1"),
        ("? [a]\n: 1", "a key is a word"),
        ("a: 1\n---\nb: 2", "a second document"),
        ("local: {_target_: os.system}", "'_target_' is not accepted"),
        ("a: ${oc.env:HOME}", "'${oc.env:HOME}' is not accepted"),
        ("a: ${.b}", "is not accepted"),
        ("a: ${b.${c}}", "is not accepted"),
        ("a: \\${b}", "is not accepted"),
        ("a: ???", "'???' is no value"),
        ("a: \x07", "FILE is not YAML"),
        ("a: " + "[" * 40 + "]" * 40, "nested deeper than 32"),
        ("a: [" + "1," * 20_001 + "]", "more than 20,000 values"),
        ("a: " + "9" * 5000, "more than 300 digits"),
    ],
)
def test_what_is_refused(text, message):
    with pytest.raises(ConfigError) as error:
        parse(text)
    assert message in str(error.value)


def test_the_limits_themselves_are_accepted():
    nested = "a: " + "[" * 31 + "]" * 31
    assert str(parse(nested)["a"]) == "[" * 31 + "]" * 31
    assert len(parse("a: [" + "1," * 19_990 + "]")["a"]) == 19_990


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a: \xff\xfe", "is not UTF-8 text"),
        (b"a: " + b"x" * 2**20, "is over 1 MiB"),
    ],
)
def test_bytes_that_are_refused(tmp_path: Path, content, message):
    file = tmp_path / "a.yaml"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        config_file.read(file)


def test_a_file_that_cannot_be_read(tmp_path: Path):
    with pytest.raises(ConfigError, match="cannot be read"):
        config_file.read(tmp_path / "none.yaml")


def test_a_byte_order_mark_is_not_part_of_the_first_key(tmp_path: Path):
    (tmp_path / "a.yaml").write_bytes(b"\xef\xbb\xbfrounds: 3")
    assert config_file.read(tmp_path / "a.yaml") == {"rounds": 3}
    (tmp_path / "b.yaml").write_bytes(b"\xef\xbb\xbf# @package local\na: 1")
    assert config_file.package_of(tmp_path / "b.yaml") == "local"


def test_the_package_line_may_follow_another_comment(tmp_path: Path):
    (tmp_path / "a.yaml").write_text("# fedrun train\n# @package _global_\na: 1\n# @package b\n")
    (tmp_path / "b.yaml").write_text("a: 1\n# @package _global_\n")
    assert config_file.package_of(tmp_path / "a.yaml") == "_global_"
    assert config_file.package_of(tmp_path / "b.yaml") is None


scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False)
    | st.text().filter(lambda text: "${" not in text and text != "???")
    | st.sampled_from(
        ["yes", "1e-3", "1_0", "010", "~", "", ".5", "-", "null", "1:30", "0x1", ".inf"]
    )
)
names = st.text(st.sampled_from("abcdeo_1"), min_size=1, max_size=6).map("k{}".format)
trees = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=12,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(names, trees, max_size=4))
def test_what_is_written_reads_back_the_same(values):
    back = parse(dump(values))
    assert back == values
    assert repr(back) == repr(values)  # 1 stays an int, 1.0 a float, -0.0 negative
    assert list(back) == list(values)


@pytest.mark.parametrize(
    "text", ["\x85", "a\u2028b", "\u2029", "\n", "\t x", "\x00", "\r", "\ufeff"]
)
def test_every_line_break_and_sign_is_kept(text):
    assert parse(dump({"a": text, "b": [text]})) == {"a": text, "b": [text]}


def test_numbers_are_written_so_that_they_keep_their_type():
    assert dump({"lr": 1e-05, "n": 1, "one": 1.0, "hidden": [2, 3]}) == (
        "lr: 1.0e-05\nn: 1\none: 1.0\nhidden: [2, 3]\n"
    )


def test_the_hash_leaves_out_where_a_run_lies_and_nothing_else():
    values = {"rounds": 3, "run": {"root": "a"}, "name": "b", "local": {"lr": 0.1}}
    same = {"local": {"lr": 0.1}, "name": "c", "run": {"root": "d"}, "rounds": 3}
    other = {**values, "local": {"lr": 0.2}}
    assert config_hash(values) == config_hash(same)
    assert config_hash(values) != config_hash(other)
    # sha256 of {"local":{"lr":0.1},"rounds":3}
    assert config_hash(values) == (hashlib.sha256(b'{"local":{"lr":0.1},"rounds":3}').hexdigest())
