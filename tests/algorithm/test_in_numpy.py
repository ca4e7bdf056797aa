"""One model for all: each method's rule from its paper, a second time in NumPy.

Clients hold unequally much, three of five take part, and every round's model is compared.
"""

import numpy as np
import pytest

WEIGHTS = ("uniform", "examples")


def delta(toy, x, turn, weights="examples"):
    return toy.mean([toy.descend(x, toy.loss(k)) - x for k in turn.cohort], turn.cohort, weights)


def fedavgm(toy, x, turns, momentum, lr, nesterov):
    v = 0 * x
    for turn in turns:
        d = delta(toy, x, turn)
        v = momentum * v + d
        x = x + lr * (d + momentum * v if nesterov else v)
        yield x


def fedopt(toy, x, turns, kind, lr, beta1, beta2, tau, v, form=""):
    m, v = 0 * x, 0 * x + v
    for t, turn in enumerate(turns, start=1):
        d = delta(toy, x, turn)
        m = beta1 * m + (1 - beta1) * d
        if kind == "adagrad":
            v = v + d**2
        elif kind == "adam":
            v = beta2 * v + (1 - beta2) * d**2
        else:
            v = v - (1 - beta2) * d**2 * np.sign(v - d**2)
        rate = lr * np.sqrt(1 - beta2**t) / (1 - beta1**t) if form == "corrected" else lr
        x = x + rate * m / (np.sqrt(v + tau) if form == "under" else np.sqrt(v) + tau)
        yield x


def fednova(toy, x, turns, weights):
    for turn in turns:  # the momentum is 0.5: |a| is the sum of 1, 1.5, 1.75, ...
        norms = {k: sum(2 - 0.5**j for j in range(s)) for k, s in turn.steps.items()}
        ways = [
            (x - toy.descend(x, toy.loss(k), turn.steps[k], momentum=0.5)) / norms[k]
            for k in turn.cohort
        ]
        reach = toy.mean([np.array(norms[k]) for k in turn.cohort], turn.cohort, weights)
        x = x - reach * toy.mean(ways, turn.cohort, weights)
        yield x


def scaffold(toy, x, turns, option, weights, lr):
    c, own = 0 * x, np.zeros((5, len(x)))
    for turn in turns:
        ends, changes = [], []
        for k in turn.cohort:
            steps = turn.steps[k]
            y = toy.descend(x, toy.loss(k), steps, drift=c - own[k])
            if option == 1:
                new = toy.descend(x, toy.loss(k), 1, lr=-1) - x
            else:
                new = own[k] - c + (x - y) / (steps * toy.lr)
            ends.append(y - x)
            changes.append(new - own[k])
            own[k] = new
        x = x + lr * toy.mean(ends, turn.cohort, weights)
        c = c + len(turn.cohort) / 5 * toy.mean(changes, turn.cohort, weights)
        yield x


def feddyn(toy, x, turns, alpha):
    h, g = 0 * x, np.zeros((5, len(x)))
    for turn in turns:
        ends = []
        for k in turn.cohort:
            ends.append(toy.descend(x, toy.loss(k), drift=-g[k], anchor=x, mu=alpha))
            g[k] -= alpha * (ends[-1] - x)
        h = h - alpha * sum(end - x for end in ends) / 5
        x = sum(ends) / len(ends) - h / alpha
        yield x


def fedadmm(toy, x, turns, rho, start, eta):
    own, dual = np.tile(x, (5, 1)), np.zeros((5, len(x)))
    for turn in turns:
        sent = []
        for k in turn.cohort:
            begin = x if start == "global" else own[k]
            end = toy.descend(begin, toy.loss(k), drift=dual[k], anchor=x, mu=rho)
            before = own[k] + dual[k] / rho
            own[k], dual[k] = end, dual[k] + rho * (end - x)
            sent.append(own[k] + dual[k] / rho - before)
        x = x + eta * sum(sent) / len(sent)
        yield x


def qfedavg(toy, x, turns, q):
    for turn in turns:
        up, down = 0.0, 0.0
        for k in turn.cohort:
            way, loss = (x - toy.descend(x, toy.loss(k))) / toy.lr, toy.loss(k)(x) + 1e-10
            up = up + loss**q * way
            down += q * loss ** (q - 1) * way @ way + loss**q / toy.lr
        x = x - up / down
        yield x


def afl(toy, x, turns, ascent):
    mixture = np.full(5, 0.2)
    for _ in turns:
        losses = np.array([toy.loss(k)(x) for k in range(5)])
        x = sum(mixture[k] * toy.descend(x, toy.loss(k)) for k in range(5))
        mixture = mixture + ascent * losses
        low, high = mixture.min() - 1, mixture.max()
        for _ in range(100):  # the height to cut off, by halving
            cut = (low + high) / 2
            low, high = (cut, high) if np.maximum(mixture - cut, 0).sum() > 1 else (low, cut)
        mixture = np.maximum(mixture - cut, 0)
        yield x


def mime(toy, x, turns, beta, weights, lite):
    m, eta = 0 * x, toy.lr / (1 - beta)
    for turn in turns:
        full = {k: toy.descend(x, toy.loss(k), 1, lr=-1) - x for k in turn.cohort}
        common = toy.mean(list(full.values()), turn.cohort, weights)
        ends = []
        for k in turn.cohort:
            drift = beta / (1 - beta) * m + (0 if lite else common - full[k])
            ends.append(toy.descend(x, toy.loss(k), lr=eta * (1 - beta), drift=drift))
        m, x = (1 - beta) * common + beta * m, toy.mean(ends, turn.cohort, weights)
        yield x


def fedlin(toy, x, turns, pace, weights):
    for turn in turns:
        full = {k: toy.descend(x, toy.loss(k), 1, lr=-1) - x for k in turn.cohort}
        common = toy.mean(list(full.values()), turn.cohort, weights)
        ends = []
        for k, steps in turn.steps.items():
            lr = toy.lr / (steps if pace == "shared" else 1)
            drift = common - full[k]
            ends.append(toy.descend(x, toy.loss(k), steps, lr=lr, drift=drift))
        x = toy.mean(ends, list(turn.steps), weights)
        yield x


def own_loss(toy, x, turns, loss):
    """FedAvg on another loss; loss(x, last model of the client, k) is a function of w."""
    last = np.tile(x, (5, 1))
    for turn in turns:
        for k in turn.cohort:
            last[k] = toy.descend(x, loss(toy, x, last[k].copy(), k))
        x = toy.mean([last[k] for k in turn.cohort], turn.cohort, "examples")
        yield x


def fedlc(toy, x, last, k):
    rows = toy.rows(k)
    held = np.array([max((toy.y[rows] == c).sum(), 1e-8) for c in range(3)])
    return lambda w: toy.entropy(toy.outputs(w, rows)[0] - 0.5 * held**-0.25, rows)


def softmax(z):
    return np.exp(z) / np.exp(z).sum(axis=-1, keepdims=True)


def fedntd(toy, x, last, k):  # beta = 2, tau = 1.5
    rows = toy.rows(k)
    others = np.array([[c for c in range(3) if c != y] for y in toy.y[rows]])
    place = (..., np.arange(len(rows))[:, None], others)
    teacher = softmax(toy.outputs(x, rows)[0][place] / 1.5)

    def loss(w):
        outputs = toy.outputs(w, rows)[0]
        apart = (teacher * np.log(teacher / softmax(outputs[place] / 1.5))).sum(axis=-1)
        return toy.entropy(outputs, rows) + 2 * 1.5**2 * apart.mean(axis=-1)

    return loss


def moon(toy, x, last, k):  # mu = 2, tau = 0.5
    rows = toy.rows(k)
    ahead, behind = toy.outputs(x, rows)[1], toy.outputs(last, rows)[1]

    def similar(a, b):
        return (a * b).sum(axis=-1) / np.linalg.norm(a, axis=-1) / np.linalg.norm(b, axis=-1)

    def loss(w):
        outputs, z = toy.outputs(w, rows)
        near, far = np.exp(similar(z, ahead) / 0.5), np.exp(similar(z, behind) / 0.5)
        return toy.entropy(outputs, rows) - 2 * np.log(near / (near + far)).mean(axis=-1)

    return loss


UNEVEN = ("system=uneven", "local.epochs=5")
ALL = ("clients.per_round=5",)
# (rule, its numbers, the same said to this package)
CASES = [
    (fedavgm, (0.9, 1.0, False), ("algorithm=fedavgm",)),
    (fedavgm, (0.5, 0.7, True), ("algorithm=fedavgm", "server.momentum=0.5", "server.lr=0.7",
                                 "server.nesterov=true")),
    *((fedopt, (kind, 0.02, *numbers), (f"algorithm=fed{kind}", "server.lr=0.02",
                                        f"server.variant={variant}"))
      for kind, variant, numbers in [
          ("adagrad", "paper", (0, 0, 1e-3, 1e-6)), ("adagrad", "flamby", (0.9, 0, 1e-8, 0)),
          ("adagrad", "keras", (0, 0, 1e-7, 0.1, "under")),
          ("adam", "paper", (0.9, 0.99, 1e-3, 1e-6)), ("adam", "flamby", (0.9, 0.999, 1e-8, 0)),
          ("adam", "keras", (0.9, 0.999, 1e-7, 0, "corrected")),
          ("yogi", "paper", (0.9, 0.99, 1e-3, 1e-6)), ("yogi", "flamby", (0.9, 0.999, 1e-8, 0)),
          ("yogi", "keras", (0.9, 0.999, 1e-3, 1e-6, "corrected"))]),
    *((fednova, (w,), ("algorithm=fednova", *UNEVEN, "local.momentum=0.5",
                       f"algorithm.weights={w}")) for w in WEIGHTS),
    *((scaffold, (option, w, 0.8), ("algorithm=scaffold", *UNEVEN, "server.lr=0.8",
                                    f"algorithm.option={option}", f"algorithm.weights={w}"))
      for option in (1, 2) for w in WEIGHTS),
    (feddyn, (0.3,), ("algorithm=feddyn", "algorithm.alpha=0.3")),
    *((fedadmm, (0.4, start, 0.7), ("algorithm=fedadmm", "algorithm.rho=0.4", "server.lr=0.7",
                                    f"algorithm.start={start}")) for start in ("global", "local")),
    *((qfedavg, (q,), ("algorithm=qfedavg", f"algorithm.q={q}")) for q in (0.5, 2.0)),
    (afl, (0.5,), ("algorithm=afl", "algorithm.ascent=0.5", *ALL)),
    *((mime, (0.8, w, lite), (f"algorithm=mime{'lite' * lite}", "algorithm.beta=0.8",
                              f"algorithm.weights={w}")) for w in WEIGHTS for lite in (0, 1)),
    *((fedlin, (pace, w), ("algorithm=fedlin", *UNEVEN, f"algorithm.pace={pace}",
                           f"algorithm.weights={w}")) for pace in ("own", "shared")
      for w in WEIGHTS),
    (own_loss, (fedlc,), ("algorithm=fedlc", "algorithm.tau=0.5")),
    (own_loss, (fedntd,), ("algorithm=fedntd", "algorithm.beta=2", "algorithm.tau=1.5")),
    (own_loss, (moon,), ("algorithm=moon", "algorithm.mu=2", "algorithm.tau=0.5")),
]  # fmt: skip


def each_once(cases):
    """A method's first setting is tried by default, its others with `-m slow`."""
    seen = set()
    for case in cases:
        method = case[2][0]
        marks = [pytest.mark.slow] if method in seen else []
        yield pytest.param(*case, marks=marks, id=" ".join(case[2]))
        seen.add(method)


@pytest.mark.parametrize(("rule", "numbers", "options"), list(each_once(CASES)))
def test_every_rounds_model_is_the_papers(rule, numbers, options, toy, course):
    first, turns = course(*options)
    moved = 0.0
    for turn, model in zip(turns, rule(toy, first, turns, *numbers), strict=True):
        np.testing.assert_allclose(turn.model, model, rtol=0, atol=5e-6)
        moved = np.abs(model - first).max()
    assert moved > 0.01
