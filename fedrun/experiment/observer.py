"""Who sees each client's message, and looks for canaries among the client's examples in it.

A message is taken for a sum of gradients at the model that the round began with: of the client's
canaries, each as long as any, and of its other examples, class by class. The score of a canary is
its part in the message by ridge regression, added up over rounds. Other examples are known to an
attacker as strong as those that differential privacy is about: their part is left out first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import deepcopy
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from fedrun.core.dataset import Array, Dataset
from fedrun.core.federation import Done, Map, State
from fedrun.core.task import Examples, Task
from fedrun.core.tree import Tree
from fedrun.experiment.build import Experiment
from fedrun.experiment.canary_example import ExampleCanaries, Exposed

GROUPS = 10  # of a client's other examples, by class
BATCH = 256
RIDGE = 0.3  # the more, the less noise in a score, and the more of other canaries


class Observer:
    """seen: float64 [m], how much of each canary was seen so far."""

    def __init__(self, experiment: Experiment, clients: Exposed, canaries: ExampleCanaries) -> None:
        module = deepcopy(experiment.task.module).eval()  # the other one is trained meanwhile
        self.task, self.first = Task(module, experiment.task.spec), experiment.task.current()
        data, held = experiment.dataset, experiment.partition.train
        self.every = Examples.of(data.train, experiment.test.y.device)
        self.rows, self.own = canaries.rows, experiment.privacy.own
        self.seen = np.zeros(len(canaries.rows))
        owner = clients.clients[canaries.place]
        self.places = {k: np.flatnonzero(owner == k) for k in np.unique(owner).tolist()}
        self.others = {k: alike(data, np.setdiff1d(held[k], canaries.rows)) for k in self.places}

    def beside(self, crew: Map) -> Map:
        """The crew, with every message looked at."""

        def watched(
            message: Tree, jobs: Sequence[Any], costs: Sequence[float] | None = None
        ) -> Iterator[Any]:
            return self.looking(message, jobs, crew(message, jobs, costs))

        return watched

    def looking(self, message: Tree, jobs: Sequence[Any], results: Iterator[Any]) -> Iterator[Any]:
        for job, done in zip(jobs, results, strict=True):
            if isinstance(done, Done) and done.ok[0] and int(job.clients[0]) in self.places:
                self.look(message, int(job.clients[0]), done)
            yield done

    def look(self, message: Tree, client: int, done: Done) -> None:
        """What one client sends, which is all of its chunk."""
        assert self.own
        assert done.sent
        model, update = self.model(message), done.sent.update.get("model", done.sent.update)
        names = [name for name in model if name in update]
        step = torch.cat([update[name].float().reshape(-1) for name in names])
        examples, steps = (int(done.measures[name][0]) for name in ("examples", "noised_steps"))
        drawn = self.own(examples, steps)[0].sampling
        # A step is over the mean size of a batch: so noise is alike everywhere; and what the coins
        # draw more often, the message tells more of.
        step *= -drawn.cohort * drawn.rate / float(done.sent.weight.sum())
        groups = [self.gradient(model, names, rows) for rows in self.others[client]]
        known = [gradient for gradient in groups if bool(gradient.isfinite().all())]
        basis = torch.linalg.qr(torch.stack(known, 1))[0] if known else step.new_zeros(len(step), 0)
        mine = self.places[client]
        found = torch.stack([self.gradient(model, names, self.rows[[one]]) for one in mine])
        found = functional.normalize(torch.where(found.isfinite(), found, 0.0), dim=1)
        found -= found @ basis @ basis.T
        found = functional.normalize(found, dim=1)
        ridge = RIDGE * torch.eye(len(mine), dtype=found.dtype, device=found.device)
        seen = torch.linalg.solve(found @ found.T + ridge, found @ step)
        self.seen[mine] += seen.double().cpu().numpy()

    def model(self, told: Tree) -> Tree:
        """The global model of a message or a state; what clients keep to themselves is as first."""
        known = told.get("model", Tree())
        return Tree((name, known.get(name, leaf)) for name, leaf in self.first.items())

    def gradient(self, model: Tree, names: list[str], rows: Array) -> Tensor:
        """float32 [D]: of the summed loss of these rows."""
        free = [model[name].detach().clone().requires_grad_() for name in names]
        with torch.enable_grad():
            params = Tree(model, **dict(zip(names, free, strict=True)))
            loss = self.loss(params, rows).sum()
        parts = torch.autograd.grad(loss, free, materialize_grads=True)
        return torch.cat([part.float().reshape(-1) for part in parts])

    def loss(self, params: Tree, rows: Array) -> Tensor:
        """float [rows]: of each."""
        which = torch.from_numpy(rows).to(self.every.y.device)
        x, y = self.every.x[which], self.every.y[which]
        return self.task.loss(self.task.outputs(params, x), y)

    def losses(self, state: State) -> Array:
        """float64 [m]: each canary's loss under the global model."""
        model, starts = self.model(state.server), range(0, len(self.rows), BATCH)
        with torch.no_grad():
            parts = [self.loss(model, self.rows[start : start + BATCH]) for start in starts]
        return np.asarray(torch.cat(parts).double().cpu().numpy())


def alike(dataset: Dataset, rows: Array) -> list[Array]:
    """Rows by class, where examples have one."""
    if not dataset.spec.labelled:
        return [rows] if len(rows) else []
    _, group = np.unique(dataset.train.y[rows], return_inverse=True)
    return [rows[group % GROUPS == one] for one in np.unique(group % GROUPS)]
