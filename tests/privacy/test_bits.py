from math import exp, inf, sqrt

import numpy as np
import pytest
import torch

from fedrun.core.option import ConfigError
from fedrun.core.tree import Tree
from fedrun.privacy._bits import fraction_below, next_clip_norm, noise_split
from fedrun.privacy._grid import clipped_to_grid
from fedrun.privacy._stream import streams

SEEDED = streams("seeded", 5)

SPLITS = [  # z, sigma_b, z_delta
    (1.0, 5.0, 1.0050378),
    (0.5, 5.0, 0.50062617),
    (1.0, 50.0, 1.00005),
    (0.7, 0.5, 0.98019606),
    (1.0, 1.0, 1.1547005),
    (2.0, 5.0, 2.0412415),
]


@pytest.mark.parametrize(("z", "bit_noise", "expected"), SPLITS)
def test_m08_the_split_of_the_noise(z, bit_noise, expected):
    found = noise_split(z, bit_noise)
    assert found == pytest.approx(expected, rel=1e-7)
    # two Gaussians with the sensitivities 1 and 1/2 are one with z
    assert found**-2 + (0.5 / bit_noise) ** 2 == pytest.approx(z**-2, rel=1e-12)


@pytest.mark.parametrize(("z", "bit_noise"), [(1.0, 0.5), (3.0, 1.0), (1.0, 0.0)])
def test_m08_a_split_that_leaves_nothing_is_refused(z, bit_noise):
    with pytest.raises(ConfigError, match="accepted is above"):
        noise_split(z, bit_noise)


def test_no_noise_is_split_into_none():
    assert noise_split(0.0, 0.0) == 0.0


@pytest.mark.parametrize(
    ("below", "above", "expected", "fraction"),
    [(10, 0, 10, 1.0), (0, 10, 10, 0.0), (3, 1, 4, 0.75), (3, 1, 8, 0.625), (0, 0, 7, 0.5)],
)
def test_the_fraction_by_hand(below, above, expected, fraction):
    # 1/2 + (below - above) / 2 / expected
    assert fraction_below(below, above, expected, 0.0, SEEDED("noise", 1, 1)) == fraction


def test_m08_one_client_moves_the_centred_bits_by_one_half():
    def bits(below, above):  # the sum of b - 1/2, of 20 expected
        return 20 * (fraction_below(below, above, 20, 0.0, SEEDED("noise", 1, 1)) - 0.5)

    assert bits(6, 5) - bits(5, 5) == pytest.approx(0.5)
    assert bits(5, 6) - bits(5, 5) == pytest.approx(-0.5)


def test_m08_m12_the_noise_on_the_bits_has_its_std():
    drawn = [fraction_below(60, 40, 100, 5.0, SEEDED("noise", t, 1)) for t in range(2000)]
    assert np.std(drawn) == pytest.approx(5.0 / 100, rel=0.03)
    assert np.mean(drawn) == pytest.approx(0.6, abs=4 * 0.05 / sqrt(2000))


def test_m07_the_clip_norm_shrinks_where_most_are_below_it():
    assert next_clip_norm(2.0, 1.0, 0.5, 0.2) == pytest.approx(2 * exp(-0.1))
    assert next_clip_norm(2.0, 0.0, 0.5, 0.2) == pytest.approx(2 * exp(0.1))
    assert next_clip_norm(2.0, 0.5, 0.5, 0.2) == 2.0


def test_the_clip_norm_stays_where_there_is_a_grid():
    assert next_clip_norm(1e-12, 1.0, 0.5, 0.2) == 1e-12
    assert next_clip_norm(1e12, 0.0, 0.5, 0.2) == 1e12
    assert 0 < next_clip_norm(1.0, 1e5, 0.5, 1.0) < inf


@pytest.mark.parametrize("start", [0.1, 1.0, 5.0])
@pytest.mark.parametrize("quantile", [0.5, 0.8])
def test_m07_the_clip_norm_finds_the_quantile_of_the_norms(start, quantile):
    clients, rounds = 100, 150
    generator = np.random.default_rng(11)
    spread, median = 0.5, 3.0
    clip, seen = start * median, []
    for t in range(rounds):
        norms = median * np.exp(spread * generator.normal(size=clients))
        update_C = Tree(w=torch.tensor(norms[:, None], dtype=torch.float32))
        _, clipped_C, _ = clipped_to_grid(update_C, clip)
        above = int(clipped_C.sum())
        fraction = fraction_below(
            clients - above, above, clients, clients / 20, SEEDED("noise", t, 1)
        )
        clip = next_clip_norm(clip, fraction, quantile, 0.2)
        seen.append(clip)
    wanted = median * np.exp(spread * {0.5: 0.0, 0.8: 0.8416}[quantile])
    assert np.mean(np.log(seen[-50:])) == pytest.approx(np.log(wanted), abs=0.05)
