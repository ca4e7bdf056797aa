import hashlib

import numpy as np
import torch

from fedrun.core.random import generator, key, torch_seed


def draws(*address):
    return generator(*address).integers(0, 2**63, 4).tolist()


def test_the_same_address_gives_the_same_numbers():
    assert draws(1, "batch", 2, 3) == draws(1, "batch", 2, 3)


def test_every_part_of_the_address_counts():
    addresses = [
        (0, "batch"), (1, "batch"), (0, "cohort"), (0, "layer"), (0, "partition"),
        (0, "batch", 1), (0, "batch", 0, 1), (0, "batch", 1, 1),
        (0, "batch", 11), (0, "batch", 0, 11),
    ]  # fmt: skip
    assert len({tuple(draws(*address)) for address in addresses}) == len(addresses)


def test_a_draw_does_not_depend_on_what_was_drawn_before():
    first = draws(5, "cohort", 1)
    generator(5, "batch", 1).random(1000)
    np.random.default_rng(5).random(10)
    assert draws(5, "cohort", 1) == first


def test_the_key_is_what_the_docstring_says():
    digest = hashlib.sha256(b"fedrun/1|7|batch|3|12").digest()
    assert key(7, "batch", 3, 12) == int.from_bytes(digest[:16], "little")


def test_the_stream_is_pinned():
    # A change here changes the results of every run that anybody has published.
    assert generator(0, "batch", 1, 0).permutation(8).tolist() == [1, 0, 3, 4, 6, 7, 2, 5]


def test_numpy_numbers_are_the_same_address():
    assert key(1, "batch", np.int64(2), np.int64(3)) == key(1, "batch", 2, 3)


def test_torch_takes_every_seed():
    seeds = [torch_seed(0, "layer", 1, client) for client in range(200)]
    assert len(set(seeds)) == 200
    assert all(0 <= seed < 2**63 for seed in seeds)
    torch.Generator().manual_seed(max(seeds))


def global_states():
    name, words, *rest = np.random.get_state()
    return torch.random.get_rng_state().tolist(), name, words.tolist(), rest


def test_a_whole_round_leaves_the_global_generators_alone(federation, play):
    before = global_states()
    for engine in ("eager", "stack"):
        play(federation(f"engine={engine}", "model.hidden=[4]", "clients.per_round=3"))
    assert global_states() == before


def test_a_whole_round_does_not_listen_to_the_global_generators(train, same):
    overrides = ("engine=eager", "model.hidden=[4]", "clients.per_round=3")
    first = train(*overrides)
    with torch.random.fork_rng(devices=[]):
        torch.rand(17)
        assert same(train(*overrides), first)
