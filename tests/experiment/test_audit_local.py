"""The audit of local privacy believes honest messages and labels, and finds broken ones."""

from dataclasses import replace

import numpy as np
import pytest

from fedrun.experiment.audit_mechanism import audit
from fedrun.privacy.local import local

WORDS = ["privacy=local", "data=digits", "model=logistic", "clients.count=10", "rounds=2"]
GAUSSIAN = ["privacy.noise_multiplier=4"]
LAPLACE = ["privacy.mechanism=laplace", "privacy.noise_multiplier=4", "privacy.delta=0"]
LABELS = ["privacy.mechanism=randomized_response", "privacy.epsilon=1.5", "privacy.delta=0"]


@pytest.fixture
def config(short_way):
    return lambda *more: short_way([*WORDS, *more])


def with_layer(**options):
    """Clients that noise as other options say."""

    def changed(experiment):
        layer = local(2, 0, None, **options).layer
        chain = [layer if old is experiment.privacy.layer else old
                 for old in experiment.federation.chain]  # fmt: skip
        return replace(experiment, federation=replace(experiment.federation, chain=chain))

    return changed


def with_answers(answers):
    def changed(experiment):
        return replace(experiment, privacy=replace(experiment.privacy, answers=answers))

    return changed


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    "words",
    [GAUSSIAN, [*GAUSSIAN, "privacy.relation=zero_out"], LAPLACE, LABELS],
    ids=["gaussian", "zero_out", "laplace", "labels"],
)
def test_honest_noise_is_consistent(config, words, seed):
    found = audit(config(*words, f"seed={seed}"), 300)
    assert found.verdict == "consistent"
    assert found.measured < found.claimed < found.most


def test_the_claim_is_that_of_every_round(config):
    assert audit(config(*LAPLACE), 10).claimed == pytest.approx(2 * 2 / 4, rel=1e-3)
    assert audit(config(*LABELS), 10).claimed == pytest.approx(1.5, rel=1e-6)
    # two replacements of 2 C under noise of 4 C: mu = sqrt(2) / 2
    assert audit(config(*GAUSSIAN), 10).claimed == pytest.approx(2.9432, abs=1e-3)


@pytest.mark.parametrize(
    ("words", "change"),
    [
        (GAUSSIAN, with_layer(noise_multiplier=0.0)),
        (GAUSSIAN, with_layer(clip_norm=20.0, noise_multiplier=4 / 20)),
        (LAPLACE, with_layer(mechanism="laplace", noise_multiplier=0.0, delta=0.0)),
        (LAPLACE, with_layer(mechanism="gaussian", noise_multiplier=0.25)),
        (LABELS, with_answers(lambda labels: labels)),
    ],
    ids=["without_noise", "without_clip", "laplace", "other_noise", "labels"],
)
def test_broken_noise_is_found(config, words, change):
    found = audit(config(*words), 300, change=change)
    assert found.verdict == "violated"


def test_canaries_are_clients_of_their_own(config):
    """Each message has the noise of its own client and round."""
    asked = []

    def listening(experiment):
        (layer,) = [one for one in experiment.federation.chain if one is experiment.privacy.layer]

        def encode(packets, told, where):
            asked.extend((where.round, client) for client in where.clients.tolist())
            return layer.encode(packets, told, where)

        return replace(
            experiment,
            federation=replace(
                experiment.federation,
                chain=[
                    replace(layer, encode=encode) if one is layer else one
                    for one in experiment.federation.chain
                ],
            ),
        )

    audit(config(*GAUSSIAN), 5, change=listening)
    assert asked == [(round, 10 + k) for round in (1, 2) for k in range(5)]


def test_few_numbers_are_shared_by_many_canaries(config):
    """650 parameters and 1,000 canaries, in parts; the second message of a canary is another."""
    rounds = []
    found = audit(config(*GAUSSIAN), told=lambda round, of: rounds.append((round, of)))
    assert (found.canaries, rounds) == (1000, [(1, 2), (2, 2)])
    assert abs(found.inside - 500) < 4 * np.sqrt(250)
