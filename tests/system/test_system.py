import numpy as np
import pytest

from fedrun.core.option import ConfigError
from fedrun.core.plan import Work
from fedrun.system.stragglers import stragglers
from fedrun.system.uneven import uneven

COHORT = np.arange(10)


@pytest.mark.parametrize(("share", "slow"), [(0.0, 0), (0.5, 5), (0.9, 9), (0.96, 10), (0.24, 2)])
def test_exactly_the_share_is_slow(share, slow):
    system = stragglers(Work(20, 0, 10), 3, 30, share=share)
    for round in (1, 2, 3):
        epochs = system.epochs(round, COHORT)
        assert (epochs == 0).sum() == slow
        assert (epochs == 20).sum() == 10 - slow


def test_partial_work_is_one_to_all_but_one_epoch():
    system = stragglers(Work(4, 0, 10), 3, 10, share=0.9, late="partial")
    drawn = np.concatenate([system.epochs(round, COHORT) for round in range(1, 60)])
    assert set(drawn.tolist()) == {1, 2, 3, 4}
    few = drawn[drawn < 4]
    assert abs(few.mean() - 2) < 0.15  # U{1, 2, 3}


def test_it_is_drawn_anew_each_round_from_the_seed():
    one, other = (stragglers(Work(20, 0, 10), seed, 10, share=0.5) for seed in (3, 4))
    assert (one.epochs(1, COHORT) == one.epochs(1, COHORT)).all()
    assert (one.epochs(1, COHORT) != one.epochs(2, COHORT)).any()
    assert (one.epochs(1, COHORT) != other.epochs(1, COHORT)).any()


def test_what_cannot_be_done_in_part_is_refused():
    with pytest.raises(ConfigError, match=r"local\.epochs of at least 2, and local\.epochs=1"):
        stragglers(Work(1, 0, 10), 0, 10, late="partial")
    with pytest.raises(ConfigError, match="drops everybody"):
        stragglers(Work(3, 0, 10), 0, 10, share=1.0)
    with pytest.raises(ConfigError, match=r"share=0\.9 of 4 clients .* drops everybody"):
        stragglers(Work(3, 0, 10), 0, 4, share=0.9)
    stragglers(Work(3, 0, 10), 0, 4, share=0.9, late="partial")
    stragglers(Work(3, 0, 10), 0, 6, share=0.9)
    with pytest.raises(ConfigError, match=r"local\.steps=5"):
        stragglers(Work(3, 5, 10), 0, 10, late="partial")
    with pytest.raises(ConfigError, match=r"local\.epochs=1"):
        uneven(Work(1, 0, 10), 0)
