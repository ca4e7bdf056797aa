"""Verdicts by hand."""

from dataclasses import replace
from math import nan, sqrt

import pytest

from fedrun.report.baseline import Expect
from fedrun.report.figure import Figure, Protocol
from fedrun.report.verdict import best, failed, is_within, judge

EXPECT = Expect(
    metric="test/accuracy", protocol="last", value=0.7, band=[0.6, 0.8], each=None, seeds=[1, 2, 3],
    source="by hand", cost=1.0, minus=None, over=None, miss=None, note=None,
)  # fmt: skip


def figures(*values, rounds=10):
    return [Figure(value, rounds, rounds) for value in values]


def test_mean_and_sd_over_seeds():
    found = judge(EXPECT, figures(0.6, 0.7, 0.9))
    assert (found.verdict, found.words) == ("within", "within")
    assert found.mean == pytest.approx(2.2 / 3)
    assert found.sd == pytest.approx(sqrt(((2 / 15) ** 2 + (1 / 30) ** 2 + (1 / 6) ** 2) / 2))


def test_one_seed_has_no_sd():
    assert judge(EXPECT, figures(0.7)).sd is None


@pytest.mark.parametrize(
    ("band", "value", "within"),
    [([0.6, 0.8], 0.6, True), ([0.6, 0.8], 0.8, True), ([0.6, 0.8], 0.81, False),
     ([0.6, 0.8], 0.59, False), ([None, 0.8], -9.0, True), ([0.6, None], 9.0, True),
     ([0.6, None], 0.5, False)],
)  # fmt: skip
def test_the_ends_belong_to_the_band(band, value, within):
    assert is_within(value, band) is within
    verdict = judge(replace(EXPECT, band=band), figures(value)).verdict
    assert verdict == ("within" if within else "OUTSIDE")


def test_without_a_band_nothing_is_judged():
    found = judge(replace(EXPECT, value=None, band=None), figures(0.6, 0.7, 0.9))
    assert (found.verdict, found.words, found.holds) == ("measured", "measured", True)
    assert found.mean == pytest.approx(2.2 / 3)
    aim = replace(EXPECT, protocol="rounds_to 0.9", value=None, band=None)
    assert judge(aim, figures(None)).verdict == "not reached"
    assert [judge(EXPECT, figures(x)).holds for x in (0.7, 0.9)] == [True, False]


def test_every_seed_for_itself():
    expect = replace(EXPECT, each=[0.65, None])
    found = judge(expect, figures(0.6, 0.7, 0.9))
    assert (found.verdict, found.words) == ("OUTSIDE", "OUTSIDE: 1 of 3 seeds")
    assert judge(expect, figures(0.65, 0.7, 0.9)).verdict == "within"


def test_differences_and_ratios_are_taken_seed_by_seed():
    own, other = figures(0.9, 0.5, 0.7), figures(0.5, 0.25, 0.7)
    difference = judge(replace(EXPECT, minus="other", band=[0.2, 0.3]), own, other)
    assert difference.values == pytest.approx([0.4, 0.25, 0.0])
    assert difference.verdict == "within"
    ratio = judge(replace(EXPECT, over="other", band=[1.5, 1.7]), own, other)
    assert ratio.values == pytest.approx([1.8, 2.0, 1.0])
    assert ratio.verdict == "within"
    assert judge(replace(EXPECT, minus="other"), own, other).verdict == "OUTSIDE"


def test_a_target_that_was_not_reached():
    expect = replace(EXPECT, protocol="rounds_to 0.9", band=[1, 20])
    found = judge(expect, figures(5.0, None, 7.0))
    assert (found.verdict, found.mean) == ("not reached", None)
    assert found.words == "not reached in 10 rounds (1 of 3 seeds)"
    assert judge(expect, figures(None)).words == "not reached in 10 rounds"


def test_a_paper_may_say_that_a_target_is_not_reached():
    expect = replace(EXPECT, protocol="rounds_to 0.9", band=[10, None])
    assert judge(expect, figures(None, None)).words == "within: not reached in 10 rounds"
    # Eleven is not shown by ten rounds, nor is a mean of ten by 10 and 5.
    assert judge(replace(expect, band=[11, None]), figures(None)).verdict == "not reached"
    assert judge(expect, figures(None, 5.0)).verdict == "not reached"
    late = judge(replace(expect, minus="other"), figures(None), figures(3.0))
    assert late.verdict == "not reached"


def test_which_setting_counts():
    accuracy = ("test/accuracy", Protocol("last"))
    assert best([figures(0.5, 0.9), figures(0.8, 0.8), None], *accuracy) == 1
    assert best([figures(0.5), figures(0.4)], "test/loss", Protocol("last")) == 1
    rounds = ("test/accuracy", Protocol("rounds_to", 0.9))
    assert best([figures(50.0), figures(20.0), figures(None)], *rounds) == 1
    assert best([figures(5.0, None), figures(90.0, 90.0)], *rounds) == 1, "all seeds come first"
    assert best([None, figures(None)], *rounds) == 1
    assert best([None, None], *rounds) == 0
    assert best([figures(nan), figures(0.1)], *accuracy) == 1
    assert best([figures(nan), figures(0.1)], "test/loss", Protocol("last")) == 1
    assert best([None, figures(nan)], *accuracy) == 1


def test_a_failure_is_told():
    found = failed(2, "diverged")
    assert (found.verdict, found.words, found.values) == ("failed", "failed: diverged", [None] * 2)
