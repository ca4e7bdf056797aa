import pytest
import torch

from fedrun.algorithm.fedprox import adapted


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


def test_mu_follows_the_loss():
    # 5, 4, 3, 2, 1, 1: five falls (one that stays counts as none that grew) and mu falls; then it
    # grows with each growth, is never below 0, and a growth breaks a row of falls.
    losses = [5, 4, 3, 2, 1, 1, 2, 3, 2, 1, 0.5, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1]
    pull, course = torch.tensor([0.1, 0.0, -1.0], dtype=torch.float64), []
    for loss in losses:
        pull = adapted(pull, torch.tensor(float(loss)), 0.1)
        course.append(round(pull[0].item(), 6))
    assert course == [0.1] * 5 + [0.0, 0.1, 0.2, 0.2, 0.2, 0.2] + [0.3] * 5 + [0.2]


def test_rounds_use_the_mu_of_their_own_loss(line, train):
    # One point (1, 1), w = b = u with gradient 2 (2 u - 1), and a rate that is too large: u goes to
    # 1.2 and -0.48, so the second round's loss is 3.84 after 1, and mu grows before it is used.
    # The pull acts from the second step on, with mu times the way since the round began.
    words = (*line([[(1, 1)]]), "algorithm=fedprox", "algorithm.mu=0", "local.steps=2",
             "local.lr=0.6", "rounds=3")  # fmt: skip
    adaptive = train(*words, "algorithm.adapt=0.1")
    u, mu, last = 0.0, 0.0, None
    for _ in range(3):
        loss = (2 * u - 1) ** 2
        mu += 0.1 * (last is not None and loss > last)
        last, start = loss, u
        for _ in range(2):
            u -= 0.6 * (2 * (2 * u - 1) + mu * (u - start))
    assert mu == pytest.approx(0.2)
    assert adaptive["1.bias"].item() == pytest.approx(u, rel=1e-5)
    assert train(*words)["1.bias"].item() != pytest.approx(u, rel=1e-2)


def test_an_adaptive_mu_survives_workers_and_rejoins(federation, play):
    words = ("algorithm=fedprox", "algorithm.mu=1", "algorithm.adapt=0.1", "rounds=3",
             "clients.per_round=4", "model=logistic")  # fmt: skip
    one, two = (
        play(federation(*words, f"engine.workers={workers}"))[-1].state.server for workers in (1, 2)
    )
    assert one["pull"].tolist() == two["pull"].tolist()
    assert all(
        (a == b).all() for a, b in zip(one["model"].leaves(), two["model"].leaves(), strict=True)
    )
