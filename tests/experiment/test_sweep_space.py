"""What a sweep's command line spans."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedrun.core.option import ConfigError
from fedrun.experiment import choices
from fedrun.experiment.sweep_space import read


def cells(config: str, *overrides: str) -> list[tuple[str, ...]]:
    return [(point.config, *point.overrides) for point in read(config, overrides).points()]


def values(word: str) -> list[str]:
    [dimension] = read("train", [word]).dimensions
    return list(dimension.values)


def test_every_combination_the_last_argument_fastest() -> None:
    assert cells("train", "seed=0,1", "rounds=5", "local.lr=0.1,0.2") == [
        ("train", "seed=0", "rounds=5", "local.lr=0.1"),
        ("train", "seed=0", "rounds=5", "local.lr=0.2"),
        ("train", "seed=1", "rounds=5", "local.lr=0.1"),
        ("train", "seed=1", "rounds=5", "local.lr=0.2"),
    ]


def test_several_configs() -> None:
    assert cells("a,dir/b.yaml", "seed=1") == [("a", "seed=1"), ("dir/b.yaml", "seed=1")]
    assert cells("'my a.yaml',b") == [("my a.yaml",), ("b",)]
    [first, *_] = read("a,b", ["seed=1,2"]).points()
    assert first.swept == ("config=a", "seed=1")


def test_one_config_is_taken_as_it_stands(tmp_path) -> None:
    file = tmp_path / "odd, (name).yaml"
    file.touch()
    assert cells(str(file)) == [(str(file),)]
    assert cells("/no/such file.yaml") == [("/no/such file.yaml",)]


def test_the_grammar() -> None:
    assert values("seed=range(3)") == ["0", "1", "2"]
    assert values("seed=range(5,1,-2)") == ["5", "3"]
    assert values("x=choice(a,b)") == ["a", "b"]
    assert values("x=sort(3,1,2)") == ["1", "2", "3"]
    assert sorted(values("x=shuffle(range(3))")) == ["0", "1", "2"]
    assert values("model.hidden=[64],[32,32]") == ["[64]", "[32,32]"]
    assert values("x='a,b',c") == ["'a,b'", "c"]
    assert values("x=a,a,b") == ["a", "b"]
    assert cells("train", "+x=1,2") == [("train", "+x=1"), ("train", "+x=2")]
    assert cells("train", "model.hidden=[1,2]") == [("train", "model.hidden=[1,2]")]


def test_glob_picks_choices_and_configs() -> None:
    assert values("algorithm=glob(fedp*)") == ["fedper", "fedprox"]
    assert values("algorithm=glob([fedp*,scaffold],exclude=fedper)") == ["fedprox", "scaffold"]
    [dimension] = read("glob(baseline/fedavg_mnist_2nn_*)", []).dimensions
    assert set(dimension.values) < set(choices.config_names())
    assert all(name.startswith("baseline/fedavg_mnist_2nn_") for name in dimension.values)


MISTAKES = {
    "seed=range(3,0)": "seed=range\\(3,0\\) has no values",
    "seed=range(0,5,0)": "cannot be listed",
    "seed=range(1000000000000)": "over 100,000 values",
    "seed=1,": "missing after the last comma",
    "local.lr=interval(0,1)": "--sampler tpe --trials 20",
    "x=glob(a*)": "among the choices of a group",
    "algorithm=glob(zzz*)": "has no values",
    "name=a,b": "makes no other runs",
    "run.root=a,b": "makes no other runs",
    "seed=[1,2": "cannot be read",
}


@pytest.mark.parametrize("word", MISTAKES)
def test_mistakes(word: str) -> None:
    with pytest.raises(ConfigError, match=MISTAKES[word]):
        cells("train", word)


def test_mistakes_of_several_words() -> None:
    with pytest.raises(ConfigError, match="seed is given twice"):
        cells("train", "seed=0,1", "seed=3")
    with pytest.raises(ConfigError, match="this sweep has 20,000 cells"):
        cells("train", "seed=range(200)", "local.lr=range(100)")
    with pytest.raises(ConfigError, match="configs are listed"):
        cells("interval(0,1)")
    with pytest.raises(ConfigError, match="after the last comma"):
        cells("a,")


NAMES = st.sampled_from(["seed", "local.lr", "algorithm.mu", "rounds", "clients.count"])
VALUES = st.lists(
    st.one_of(st.integers(-9, 99).map(str), st.from_regex(r"[a-z]{2,4}[0-9]?", fullmatch=True)),
    min_size=1, max_size=4, unique=True,
)  # fmt: skip


@given(st.dictionaries(NAMES, VALUES, max_size=4))
def test_a_grid_is_the_product_of_its_lists(lists: dict[str, list[str]]) -> None:
    space = read("train", [f"{key}={','.join(each)}" for key, each in lists.items()])
    points = list(space.points())
    expected = [
        tuple(f"{key}={value}" for key, value in zip(lists, combination, strict=True))
        for combination in product(*lists.values())
    ]
    assert [point.overrides for point in points] == expected
    varying = [key for key, each in lists.items() if len(each) > 1]
    assert [each.key for each in space.dimensions] == varying
    for point in points:
        assert [word.partition("=")[0] for word in point.swept] == varying
        assert set(point.swept) <= set(point.overrides)
