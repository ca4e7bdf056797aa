import pytest


@pytest.mark.parametrize("engine", ["eager", "stack"])
def test_the_pull_by_hand(engine, line, train):
    # One point (1, 1), so w = b = u with gradient 2 (2 u - 1): 0 -> 0.2; then the gradient is
    # -1.2, and the pull to the start adds mu * 0.2 = 0.2: 0.2 + 0.1 = 0.3.
    # The second round is pulled to 0.3: -0.8 gives 0.38; 2 (0.76 - 1) + 0.08 = -0.4 gives 0.42.
    options = ("algorithm=fedprox", "algorithm.mu=1", "local.steps=2", f"engine={engine}")
    model = train(*line([[(1, 1)]]), *options)
    assert [leaf.item() for leaf in model.values()] == pytest.approx([0.3, 0.3])
    model = train(*line([[(1, 1)]]), *options, "rounds=2")
    assert [leaf.item() for leaf in model.values()] == pytest.approx([0.42, 0.42])


@pytest.mark.parametrize("engine", ["eager", "stack"])
def test_a_strong_pull_keeps_the_clients_near_each_other(engine, federation, play):
    def longest(mu):
        event = play(
            federation("algorithm=fedprox", f"algorithm.mu={mu}", f"engine={engine}",
                       "model.hidden=[4]", "local.epochs=5", "local.lr=0.05")
        )[0]  # fmt: skip
        return max(client["update_norm"] for client in event.clients)

    assert longest(10) < longest(1) < longest(0.001)


def test_clients_can_count_alike(line, train):
    # A moves w and b to 0.2 in one step, B (two equal points (1, 2)) to 0.4.
    points = line([[(1, 1)], [(1, 2), (1, 2)]])
    alike = train(*points, "algorithm=fedprox", "algorithm.weights=uniform")
    by_size = train(*points, "algorithm=fedprox")
    assert alike["1.bias"].item() == pytest.approx(0.3)
    assert by_size["1.bias"].item() == pytest.approx(1 / 3)
