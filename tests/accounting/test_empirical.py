"""The auditor itself is tested: against published figures, honest mechanisms and broken ones."""

from math import exp, inf, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta

from fedrun.accounting.empirical import (
    epsilon_of,
    gaussian_many_runs,
    gaussian_one_run,
    many_runs,
    one_run,
    one_run_p,
    one_shot,
    planned_guesses,
    right_guesses,
)

DELTA = 1e-5
ONE_RUN = [  # canaries, guesses, right, delta, epsilon, epsilon of Gaussian mechanisms
    (100, 100, 100, 0.0, 3.4929653, None),
    (1000, 1000, 1000, 0.0, 5.8090683, None),
    (1000, 1000, 1000, 1e-5, 5.7822831, 12.33457),
    (1000, 200, 180, 0.0, 1.7988653, None),
    (1000, 200, 180, 1e-5, 1.7962851, 2.9012429),
    (1000, 200, 120, 1e-5, 0.1578795, 0.21866448),
    (5000, 500, 475, 1e-5, 2.5900473, 3.7615407),
    (5000, 1000, 700, 1e-5, 0.73064712, 1.0760776),
    (500, 100, 80, 1e-5, 0.95685992, 1.5564296),
]
MANY_RUNS = [  # runs with and without, found, mistaken, delta, epsilon
    (1000, 1000, 900, 50, 0.0, 2.5992179),
    (1000, 1000, 900, 50, 1e-5, 2.5992065),
    (500, 500, 480, 2, 1e-5, 4.1792691),
    (1000, 1000, 550, 500, 1e-5, 0.0),
    (200, 200, 200, 0, 1e-5, 3.9837481),
]


@pytest.mark.parametrize(("canaries", "guesses", "right", "delta", "epsilon", "sharper"), ONE_RUN)
def test_one_run_agrees_with_the_references(canaries, guesses, right, delta, epsilon, sharper):
    assert one_run(guesses, right, canaries, delta) == pytest.approx(epsilon, abs=1e-6)
    if sharper is not None:
        found = gaussian_one_run(guesses, right, canaries, delta)
        assert found == pytest.approx(sharper, abs=1e-5)


@pytest.mark.parametrize(("with_it", "without", "found", "mistaken", "delta", "epsilon"), MANY_RUNS)
def test_many_runs_agree_with_the_references(with_it, without, found, mistaken, delta, epsilon):
    shown = many_runs(with_it, found, without, mistaken, delta)
    assert shown == pytest.approx(epsilon, abs=1e-6)


@pytest.mark.parametrize(
    ("runs", "found", "mistaken", "epsilon"),
    [(1000, 900, 50, 14.457201), (500, 480, 2, 22.220396), (1000, 550, 500, 0.0)],
)
def test_many_gaussian_runs_agree_with_the_references(runs, found, mistaken, epsilon):
    assert gaussian_many_runs(runs, found, runs, mistaken, DELTA) == pytest.approx(
        epsilon, abs=1e-5
    )


@pytest.mark.parametrize(
    ("sigma", "delta", "epsilon"),
    [
        (1.0, 1e-5, 4.3771781),
        (2.0, 1e-5, 1.9930914),
        (4.0, 1e-6, 1.0607019),
        (0.5, 1e-5, 9.9972561),
    ],
)
def test_the_exact_gaussian(sigma, delta, epsilon):
    assert epsilon_of(1 / sigma, delta) == pytest.approx(epsilon, abs=1e-6)


def test_the_exact_gaussian_at_its_ends():
    assert epsilon_of(0.0, DELTA) == epsilon_of(-3.0, DELTA) == 0.0
    assert epsilon_of(1e-9, DELTA) == 0.0
    assert epsilon_of(inf, DELTA) == inf
    assert epsilon_of(40.0, DELTA) == pytest.approx(800 + 40 * 4.2649, rel=1e-3)


@given(st.integers(1, 400), st.data())
@settings(max_examples=60, deadline=None)
def test_without_delta_one_run_is_the_logit_of_clopper_and_pearson(guesses, data):
    right = data.draw(st.integers(0, guesses))
    rate = beta.ppf(0.05, right, guesses - right + 1) if right else 0.0
    expected = max(0.0, np.log(rate / (1 - rate))) if rate else 0.0
    assert one_run(guesses, right, guesses, 0.0) == pytest.approx(expected, abs=1e-7)


@given(st.integers(2, 300), st.data())
@settings(max_examples=40, deadline=None)
def test_more_right_guesses_show_more_and_delta_shows_less(guesses, data):
    right = data.draw(st.integers(1, guesses))
    canaries = guesses + data.draw(st.integers(0, 300))
    shown = one_run(guesses, right, canaries, DELTA)
    assert one_run(guesses, right - 1, canaries, DELTA) <= shown + 1e-9
    assert shown <= one_run(guesses, right, canaries, 0.0) + 1e-9
    assert shown <= one_run(guesses, right, canaries, DELTA, 0.9) + 1e-9


def test_a_p_value_by_hand():
    # two guesses, both right, at epsilon ln 3: (3/4)^2 + 2 m delta max(1 - 1/16 - 9/16, (7/16) / 2)
    expected = 9 / 16 + 2 * 3 * 0.01 * max(6 / 16, 7 / 32)
    assert one_run_p(np.log(3), 2, 2, 3, 0.01) == pytest.approx(expected)


@pytest.mark.parametrize("counts", [(3, 4, 10), (11, 2, 10), (0, 0, 10), (5, -1, 10)])
def test_counts_that_cannot_be(counts):
    with pytest.raises(ValueError, match="no counts"):
        one_run(counts[0], counts[1], counts[2], DELTA)


def test_guesses_are_the_extremes():
    scores = np.array([0.1, 5.0, -2.0, 0.2, 3.0, -1.0])
    coins = np.array([False, True, False, True, False, True])
    assert right_guesses(scores, coins, 2) == 2  # 5.0 is in, -2.0 is out
    assert right_guesses(scores, coins, 4) == 2  # and 3.0 is not in, -1.0 not out
    assert right_guesses(scores, coins, 6) == 4  # 0.2 is in, 0.1 is out
    assert right_guesses(scores, coins, 3, sides=1) == 2  # "in" alone: 5.0, 0.2, and 3.0 is not


@pytest.mark.parametrize(
    ("canaries", "epsilon"), [(100, 0.5), (300, 2.0), (1000, 1.0), (1000, 4.0)]
)
def test_planned_guesses_could_refute_the_claim(canaries, epsilon):
    guesses = planned_guesses(canaries, epsilon, DELTA)
    assert 10 <= guesses <= canaries
    assert one_run(guesses, guesses, canaries, DELTA) > epsilon


def test_planned_guesses_without_a_hope():
    assert planned_guesses(100, 30.0, DELTA) == planned_guesses(100, inf, DELTA) == 70
    assert planned_guesses(100, 0.0, DELTA) == 70
    assert planned_guesses(1, 1.0, DELTA) == 1
    # half of 1,000 coins, of those the half that is ever drawn, and three deviations less
    assert planned_guesses(1000, inf, DELTA, sides=1, seen=0.5) == (500 - 95) // 2


# --- the test of the tester ------------------------------------------------------------------


def directions(draw, canaries, dimension):
    """Unit vectors: at right angles where there is room for that."""
    vectors = draw.standard_normal((canaries, dimension))
    if dimension >= canaries:
        vectors = np.linalg.qr(vectors.T)[0].T
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def audits(runs, canaries, dimension, release, claim):
    """The bound that each of so many audits shows. release(draw, sum [d]) -> what is seen of it."""
    draw, shown, known = np.random.default_rng(0), [], {}
    guesses = planned_guesses(canaries, claim, DELTA)
    vectors = directions(draw, canaries, dimension)
    for _ in range(runs):
        coins = draw.random(canaries) < 0.5
        right = right_guesses(vectors @ release(draw, coins @ vectors), coins, guesses)
        if right not in known:
            known[right] = one_run(guesses, right, canaries, DELTA)
        shown.append(known[right])
    return np.array(shown)


def gaussian(noise_multiplier):
    return lambda draw, total: total + noise_multiplier * draw.standard_normal(len(total))


@pytest.mark.parametrize("dimension", [50, 600])
@pytest.mark.parametrize("noise_multiplier", [0.5, 1.0, 2.0, 5.0])
def test_honest_mechanisms_are_believed(noise_multiplier, dimension):
    claim = epsilon_of(1 / noise_multiplier, DELTA)
    shown = audits(200, 300, dimension, gaussian(noise_multiplier), claim)
    assert np.mean(shown > claim) <= 0.05


def test_the_bound_is_not_idle():
    """Without this the test above would pass for an auditor that shows nothing."""
    claim = epsilon_of(1.0, DELTA)
    shown = audits(20, 1000, 1000, gaussian(1.0), claim)
    assert 0.2 * claim < np.median(shown) < claim


def test_guessing_as_well_as_can_be_stays_at_the_error_promised():
    """Randomized response loses all of its epsilon to every guess: the bound is then exact."""
    epsilon, draw = 1.0, np.random.default_rng(1)
    right = draw.binomial(400, exp(epsilon) / (1 + exp(epsilon)), 4000)
    bounds = np.array([one_run(400, count, 400, 0.0) for count in range(260, 340)])
    assert bounds[0] < epsilon < bounds[-1]
    assert 0.02 < np.mean(bounds[right.clip(260, 339) - 260] > epsilon) <= 0.06


def test_no_noise_is_found():
    claim = epsilon_of(1.0, DELTA)
    assert (audits(10, 1000, 1000, gaussian(0.0), claim) > claim).all()
    assert (audits(10, 1000, 1000, gaussian(0.0), inf) > 5).all()


def test_m05_a_weighted_mean_is_found():
    """Flower's wrappers: updates times example counts under noise for weight 1."""
    claim = epsilon_of(1.0, DELTA)
    shown = audits(20, 1000, 1000, lambda draw, total: gaussian(1.0)(draw, 10 * total), claim)
    assert (shown > claim).mean() > 0.9


def test_m06_noise_of_the_next_smaller_clip_norm_is_found():
    """Clip 1 shrinks by e^-2 each round, and the noise is already that of the smaller one."""
    rounds, shrink = 3, exp(-2.0)

    def release(noise_of):
        def seen(draw, total):
            clip, answer = 1.0, np.zeros(len(total))
            for _ in range(rounds):
                answer += gaussian(2.0 * noise_of(clip))(draw, clip * total) / clip
                clip *= shrink
            return answer

        return seen

    claim = epsilon_of(sqrt(rounds) / 2.0, DELTA)
    honest = audits(20, 1000, 1000, release(lambda clip: clip), claim)
    broken = audits(20, 1000, 1000, release(lambda clip: clip * shrink), claim)
    assert (honest > claim).mean() <= 0.05
    assert (broken > claim).mean() > 0.9


def test_m12_noise_of_the_mean_on_the_sum_is_found():
    claim = epsilon_of(1.0, DELTA)
    shown = audits(20, 1000, 1000, gaussian(1.0 / 100), claim)  # a cohort of 100
    assert (shown > claim).mean() > 0.9


def test_m22_a_round_that_is_skipped_when_empty_is_found():
    """Each round could hold one canary alone; whether there is an answer at all tells."""
    draw, canaries = np.random.default_rng(3), 300
    claim = epsilon_of(0.5, DELTA)
    guesses = planned_guesses(canaries, claim, DELTA)
    coins = draw.random(canaries) < 0.5
    released = coins + 2.0 * draw.standard_normal(canaries)  # noise in empty rounds too
    skipped = np.where(coins, released - released.min() + 1, 0.0)  # nothing seen reads as 0
    honest = one_run(guesses, right_guesses(released, coins, guesses), canaries, DELTA)
    broken = one_run(guesses, right_guesses(skipped, coins, guesses), canaries, DELTA)
    assert honest <= claim < broken


@pytest.mark.parametrize(
    ("epsilon", "sigma", "mean", "spread"),
    [
        (1.0, 3.7306316, 1.056, 0.207),
        (3.0, 1.3905935, 2.991, 0.224),
        (10.0, 0.4998886, 9.942, 0.417),
    ],
)
def test_one_shot_estimates_as_the_reference_does(epsilon, sigma, mean, spread):
    """200 canaries in 50,000 dimensions; only the products with them are drawn, not the vectors:
    |sum|^2 = sigma^2 d + k (1 + 1/d ...), and <c, sum> = 1 + N(0, sigma^2 + k / d)."""
    draw, d, k = np.random.default_rng(4), 50_000, 200
    norm = sqrt(sigma**2 * d + k)
    found = [
        one_shot((1 + sqrt(sigma**2 + k / d) * draw.standard_normal(k)) / norm, d, DELTA)
        for _ in range(40)
    ]
    assert np.mean(found) == pytest.approx(mean, abs=2.5 * spread / sqrt(10))
    assert np.mean(found) == pytest.approx(epsilon, abs=4 * spread / sqrt(40))
    assert np.std(found) == pytest.approx(spread, rel=0.6)


def test_one_shot_without_an_effect():
    draw = np.random.default_rng(5)
    assert one_shot(-np.abs(draw.standard_normal(200)) / 100, 10_000, DELTA) == 0.0
