"""The empirical audit of local privacy: a message is seen as it leaves its client, noise and all.

Nothing is added up before it is seen and no message depends on another client's, so canaries need
no federation around them: each sends in every round, as a client that always takes part, whose
account is the worst. Under `replace_one` a canary that is out sends the opposite of one that is in;
else nothing.

A canary moves one coordinate, by far more than the clip norm: of all updates of a length, in L1 or
in L2 norm, none is easier to see.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from fedrun.accounting import bounds, worst_bounds
from fedrun.core.chain import Context, Packets
from fedrun.core.dataset import Array
from fedrun.core.privacy import Privacy
from fedrun.core.tree import Tree
from fedrun.experiment.audit_result import MANY, Audit, Change, Told, held_against, planned
from fedrun.experiment.build import Experiment
from fedrun.experiment.canary import FAR, unflat
from fedrun.experiment.forecast import own_accounts

NUMBERS = 1 << 22  # of all updates that are encoded together


def of_messages(honest: Experiment, number: int | None, change: Change, told: Told) -> Audit:
    """Let so many canaries send, and guess who of them was in; null: 1,000."""
    privacy, number = honest.privacy, number or MANY
    assert privacy.layer
    assert privacy.claim
    claim, of = privacy.claim, honest.settings.rounds
    claimed = worst_bounds(own_accounts(honest), claim.delta, claim.relation)[1][0].epsilon
    plan = planned(number, claimed, claim.delta, 1.0)
    coins = tossed(privacy, number)
    away = -FAR if claim.relation == "replace_one" else 0.0
    sent = torch.from_numpy(np.where(coins, FAR, away)).float()

    place = list(honest.federation.chain).index(privacy.layer)
    changed = change(honest)
    layer, like = changed.federation.chain[place], Tree(model=honest.task.current())
    size, first = sum(leaf.numel() for leaf in like.leaves()), len(honest.partition)
    seen = torch.zeros(number, dtype=torch.float64)
    for round in range(1, of + 1):
        for part in torch.split(torch.arange(number), max(1, NUMBERS // size)):
            moved = part % size
            update = torch.zeros(len(part), size).scatter_(1, moved[:, None], sent[part, None])
            where = Context(round, first + part.numpy())
            packets = Packets(unflat(update, like), torch.ones(len(part)))
            message = layer.encode(packets, layer.told(layer.init()), where).update
            seen[part] += numbers(message).gather(1, moved[:, None]).squeeze(1).double()
        told(round, of)
    return held_against(honest, plan, claimed, seen.numpy(), coins)


def of_labels(honest: Experiment, number: int | None, change: Change) -> Audit:
    """Let so many canaries answer, with label 0 if they are in, else 1; null: 1,000."""
    privacy, number = honest.privacy, number or MANY
    assert privacy.once
    assert privacy.claim
    claim = privacy.claim
    claimed = bounds([(privacy.once, 1)], claim.delta, claim.relation)[0].epsilon
    plan = planned(number, claimed, claim.delta, 1.0)
    coins, answers = tossed(privacy, number), change(honest).privacy.answers
    assert answers
    told = answers(np.where(coins, 0, 1))
    return held_against(honest, plan, claimed, (told == 0) * 1.0 - (told == 1), coins)


def tossed(privacy: Privacy, number: int) -> Array:
    """bool [m]: who is in."""
    assert privacy.streams
    return np.asarray(privacy.streams("canary", 0, 0).uniform(number) < 0.5)


def numbers(update: Tree) -> Tensor:
    """[C, D]: each client's leaves one after the other, as `canary.unflat` takes them."""
    leaves = dict(sorted(update["model"].items()))
    return torch.cat([leaf.flatten(1) for leaf in leaves.values()], dim=1)
