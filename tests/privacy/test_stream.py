import ast
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

import fedrun.privacy._stream as module
from fedrun.privacy._stream import streams

SEEDED = streams("seeded", 7)


def words(stream, count):
    return (stream.uniform(count) * 2.0**53).astype(np.uint64)


def correlation(a, b):
    return float(torch.corrcoef(torch.stack([a, b]))[0, 1])


def test_m15_the_numbers_are_the_keystream_of_aes_256():
    key = bytes(range(32))
    stream = module._Stream(key)
    cipher = Cipher(algorithms.AES(key), modes.CTR(bytes(16))).encryptor()
    plain = np.frombuffer(cipher.update(bytes(8 * 20_000)), "<u8")
    found = np.concatenate([words(stream, count) for count in (1, 9_000, 10_999)])
    np.testing.assert_array_equal(found, plain >> np.uint64(11))


def test_m15_the_cipher_gives_the_published_keystream():
    # NIST SP 800-38A, F.5.5: key, first counter block, plaintext and ciphertext
    key = "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4"
    counter, plain = "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff", "6bc1bee22e409f96e93d7e117393172a"
    cipher = Cipher(algorithms.AES(bytes.fromhex(key)), modes.CTR(bytes.fromhex(counter)))
    assert cipher.encryptor().update(bytes.fromhex(plain)).hex() == (
        "601ec313775789a5b7a7f504bbf3d228"
    )


def test_m15_no_other_generator_is_named():
    tree = ast.parse(Path(module.__file__).read_text())
    names = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    names |= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    assert not names & {"random", "Generator", "default_rng", "randn", "normal_", "rand", "Philox"}
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    SEEDED("noise", 1, 0).normal(1000)
    assert torch.equal(before[0], torch.get_rng_state())
    np.testing.assert_array_equal(before[1], np.random.get_state()[1])


def test_normals_are_box_and_mullers_of_the_words():
    count = 5
    drawn = SEEDED("noise", 1, 0).normal(count)
    raw = SEEDED("noise", 1, 0).uniform(6)
    radius, angle = np.sqrt(-2 * np.log(raw[:3] + 2.0**-53)), 2 * np.pi * raw[3:]
    expected = np.concatenate([radius * np.cos(angle), radius * np.sin(angle)])[:count]
    assert drawn.dtype == torch.float64
    np.testing.assert_allclose(drawn.numpy(), expected, rtol=1e-13)


@pytest.mark.parametrize(("word", "farthest"), [(0, 10.1967), (2**64 - 1, 0.0)])
def test_the_extreme_words_give_finite_normals(word, farthest, monkeypatch):
    stream = SEEDED("noise", 1, 0)
    monkeypatch.setattr(stream, "_words", lambda count: np.full(count, word, np.uint64))
    drawn = stream.normal(2)
    assert drawn.isfinite().all()
    assert float(drawn.abs().max()) == pytest.approx(farthest, abs=1e-3)
    assert 0 <= stream.uniform(1)[0] < 1


def test_m14_what_uniforms_leave_over_goes_on_with_a_large_radius(monkeypatch):
    """With 53 bits circles around 0 are 0.05 apart at the end, and many steps of a grid before."""
    stream = SEEDED("noise", 1, 0)

    def farthest(first, second):
        words = np.array([first, second], np.uint64)
        monkeypatch.setattr(stream, "_words", lambda count: words)
        return float(stream.normal(2).norm())

    radii = [farthest(*words) for words in ((0, 0), (0, 1), (1, 0), (2047, 2047), (2048, 0))]
    bits = [0, 1, 2048, 2**22 - 1, 2**22]
    expected = [(-2 * np.log((k + 1) * 2.0**-75)) ** 0.5 for k in bits]
    assert radii == pytest.approx(expected, rel=1e-14)


def test_normals_are_normal():
    drawn = SEEDED("noise", 2, 0).normal(400_001)
    assert len(drawn) == 400_001
    cuts = torch.linspace(-4, 4, 33, dtype=torch.float64)
    below = torch.stack([(drawn <= cut).double().mean() for cut in cuts])
    # Kolmogorov and Smirnov: 1.63 / sqrt(n) is passed once in 100 seeds
    assert float((below - torch.special.ndtr(cuts)).abs().max()) < 1.63 / 400_001**0.5
    assert float(drawn.pow(4).mean()) == pytest.approx(3, abs=0.05)
    half = len(drawn) // 2
    assert abs(correlation(drawn[:half], drawn[half:-1])) < 4 / half**0.5
    assert abs(correlation(drawn[:-1], drawn[1:])) < 4 / 400_000**0.5
    assert abs(correlation(drawn[:4096].abs(), drawn[4096:8192].abs())) < 4 / 64


def test_uniforms_are_uniform():
    drawn = SEEDED("cohort", 2, 0).uniform(160_000)
    counts = np.histogram(drawn, 16, (0, 1))[0]
    assert float(((counts - 10_000) ** 2 / 10_000).sum()) < 37.7  # chi-square, 15 degrees, 0.1 %
    low = words(SEEDED("cohort", 2, 0), 160_000) & np.uint64(15)
    counts = np.bincount(low.astype(int), minlength=16)
    assert float(((counts - 10_000) ** 2 / 10_000).sum()) < 37.7


def test_m13_every_purpose_round_and_client_has_numbers_of_its_own():
    places = [
        (purpose, round, client)
        for purpose in ("cohort", "noise", "batch", "canary", "label")
        for round in (1, 2, 11)
        for client in (0, 1, 12)
    ]
    places += [("noise", 1, 11), ("noise", 111, 1)]
    drawn = [SEEDED(*place).uniform(2).tobytes() for place in places]
    assert len(set(drawn)) == len(places)


def test_m13_rounds_and_clients_are_uncorrelated():
    here = SEEDED("noise", 1, 0).normal(100_000)
    for place in (("noise", 2, 0), ("noise", 1, 1), ("batch", 1, 0)):
        assert abs(correlation(here, SEEDED(*place).normal(100_000))) < 4 / 100_000**0.5


def test_m13_seed_0_is_a_seed_as_any_other():
    drawn = {seed: streams("seeded", seed)("noise", 1, 0).uniform(2).tobytes() for seed in range(9)}
    assert len(set(drawn.values())) == 9
    again = streams("seeded", 0)("noise", 1, 0).uniform(2).tobytes()
    assert drawn[0] == again


def test_m13_secure_streams_are_new_each_time_whatever_the_seed():
    drawn = [streams("secure", 0)("noise", 1, 0).normal(1000) for _ in range(2)]
    assert not torch.equal(*drawn)
    assert abs(correlation(*drawn)) < 0.2
    one = streams("secure", 0)
    assert torch.equal(one("noise", 1, 0).normal(9), one("noise", 1, 0).normal(9))


def test_m15_the_key_is_not_shown_and_not_stored(monkeypatch):
    key = b"\x01secret key of thirty-two bytes!"
    asked = []
    monkeypatch.setattr(module.os, "urandom", lambda count: asked.append(count) or key)
    secure = streams("secure", 0)
    assert asked == [32]
    stream = secure("noise", 1, 0)
    for value in (secure, stream):
        assert "secret" not in repr(value)
        with pytest.raises((AttributeError, TypeError, pickle.PicklingError)):
            pickle.dumps(value)


def test_later_calls_go_on():
    stream = SEEDED("batch", 1, 0)
    parts = [stream.uniform(count) for count in (3, 0, 8192, 5)]
    whole = SEEDED("batch", 1, 0).uniform(8200)
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    stream = SEEDED("noise", 1, 0)
    first, second = stream.normal(100), stream.normal(100)
    assert not torch.isin(second, first).any()


@pytest.mark.parametrize("count", [0, 1, 2, 8191, 8192, 8193, 100_001])
def test_as_many_as_asked_for(count):
    assert SEEDED("noise", 1, 0).normal(count).shape == (count,)
    assert SEEDED("noise", 1, 0).uniform(count).shape == (count,)


def test_the_bits_do_not_depend_on_threads():
    threads = torch.get_num_threads()
    drawn = []
    for number in (1, 2):
        torch.set_num_threads(number)
        drawn.append(SEEDED("noise", 1, 0).normal(150_001))
    torch.set_num_threads(threads)
    assert torch.equal(*drawn)


def test_a_purpose_that_is_none_is_refused():
    with pytest.raises(AssertionError, match="weather"):
        SEEDED("weather", 1, 0)
