"""What goes together with a guarantee; the rest is refused in one sentence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from fedrun.accounting import running_epsilon
from fedrun.core.algorithm import Algorithm
from fedrun.core.dataset import Dataset
from fedrun.core.option import ConfigError
from fedrun.core.privacy import Privacy
from fedrun.core.task import Task
from fedrun.experiment.bind import Bound
from fedrun.experiment.settings import Evaluate

FITTED = (
    "inputs are scaled by means and deviations of the training rows, or coded by their categories; "
    "none of that has noise"
)


def told_of_preparation(privacy: Privacy, dataset: Dataset) -> Privacy:
    """The guarantee is about training: what was done to the rows before is told beside it."""
    prepared = dataset.prepared
    if privacy.claim is None or prepared is None or not prepared.is_fitted:
        return privacy
    caveats = (*privacy.claim.caveats, FITTED)
    return replace(privacy, claim=replace(privacy.claim, caveats=caveats))


def refuse_sampling(privacy: str, sampling: str) -> None:
    """Cohorts that depend on what clients hold tell something about it."""
    if privacy != "none" and sampling == "size":
        raise ConfigError(
            f"clients.sampling=size draws clients by what they hold, which no theorem covers; with "
            f"privacy={privacy} take uniform, poisson, cyclic or shuffled"
        )


def refuse_own_tests(choice: str, privacy: Privacy, fraction: float | None) -> None:
    """Rows that clients keep for testing are protected ones; figures on them have no noise."""
    if privacy.claim is not None and fraction is not None and not privacy.leaky:
        raise ConfigError(
            f"clients.test_fraction={fraction:g} scores models on clients' own rows, without the "
            f"noise that privacy={choice} adds; leave it null"
        )


def refuse_objective(
    bound: Mapping[str, Bound], privacy: Privacy, algorithm: Algorithm, evaluate: Evaluate
) -> None:
    """The training rows are what noise protects, and only a global model has figures on all."""
    if not evaluate.objective:
        return
    if privacy.claim is not None and not privacy.leaky:
        raise ConfigError(
            f"evaluate.objective=true scores the model on clients' training rows, without the "
            f"noise that privacy={bound['privacy'].name} adds; leave it false"
        )
    if not algorithm.has_global:
        raise ConfigError(
            f"evaluate.objective=true has no effect with algorithm={bound['algorithm'].name}, "
            f"which has no global model; leave it false"
        )


def refuse_algorithm(
    bound: Mapping[str, Bound], privacy: Privacy, algorithm: Algorithm, task: Task, weights: object
) -> None:
    """A `ConfigError` where the guarantee would not hold, in one sentence."""
    method, choice = f"algorithm={bound['algorithm'].name}", f"privacy={bound['privacy'].name}"
    if privacy.layer is None and privacy.steps is None:
        return
    if privacy.claim is not None and privacy.event is not None:
        running_epsilon([(privacy.event, 1)], privacy.claim.delta, privacy.claim.relation)
    if privacy.layer is not None and sends_nothing(algorithm, task):
        raise ConfigError(f"{method} sends nothing that {choice} could protect; take privacy=none")
    if privacy.claim is not None and privacy.own is not None:
        event, _ = privacy.own(1, 1)
        running_epsilon([(event, 1)], privacy.claim.delta, privacy.claim.relation)
    if task.buffers and not (privacy.layer and algorithm.keeps_buffers):
        raise ConfigError(
            f"model={bound['model'].name} has running statistics of clients' data (batch "
            f"normalisation), which {choice} cannot protect; take a model with group normalisation"
        )
    if algorithm.survey:
        raise ConfigError(
            f"{method} asks the clients twice a round, and {choice} protects one answer; take "
            f"another method"
        )
    if privacy.steps is not None:
        if algorithm.reads_data:
            raise ConfigError(
                f"{method} uses losses or gradients over clients' data beside their local steps, "
                f"which {choice} does not hide; take a method that only trains"
            )
        return
    if privacy.event is not None and algorithm.needs == "each":
        raise ConfigError(
            f"{method} must see each client's update, and {choice} shows the server's rule their "
            f"noised sum alone; take privacy=local or another method"
        )
    if bound["system"].name != "none" and privacy.event is not None:
        refuse_slow(f"system={bound['system'].name}", choice, privacy)
    if algorithm.divides:
        raise ConfigError(
            f"{method} divides by numbers that its clients send beside the update, which clipping "
            f"and noise would make meaningless; with {choice} take another method"
        )
    refuse_weights(bound, privacy, weights)


def refuse_slow(system: str, choice: str, privacy: Privacy) -> None:
    """Who is slow depends on the whole cohort: whether one is drawn moves the others' updates too,
    by far more than a clip norm. What chance then hides is not what the theorems on it are about,
    whatever neighbours are: they need a sum that one client's coming moves by its own part alone.
    """
    assert privacy.event is not None
    if privacy.event.sampling.scheme in ("poisson", "fixed"):
        raise ConfigError(
            f"{system} draws who is slow over the whole cohort, so that a client that is drawn "
            f"changes what others send, which no theorem on drawn cohorts covers; with {choice} "
            f"take clients.sampling=cyclic or shuffled, or all clients"
        )
    if privacy.claim is not None and privacy.claim.relation == "add_remove":
        raise ConfigError(
            f"{system} draws who is slow over the whole cohort, so that a client more or less "
            f"changes what others send; with {choice} take privacy.relation=zero_out"
        )


def refuse_weights(bound: Mapping[str, Bound], privacy: Privacy, weights: object) -> None:
    """Clients count alike, or by their examples up to a cap."""
    method, choice = f"algorithm={bound['algorithm'].name}", f"privacy={bound['privacy'].name}"
    if weights == "examples":
        raise ConfigError(
            f"algorithm.weights=examples lets a client move the sum by all that it holds; with "
            f"{choice} leave it out; privacy.weights=capped weighs by examples up to a cap where "
            f"the method does"
            if privacy.event is not None
            else f"algorithm.weights=examples tells what each client holds; with {choice} leave it "
            f"out"
        )
    if bound["privacy"].options.get("weights") == "capped" and not by_examples(bound["algorithm"]):
        raise ConfigError(
            f"privacy.weights=capped weighs by examples, and {method} counts clients alike; leave "
            f"it out, or take a method whose algorithm.weights is null, such as algorithm=fedavg"
        )


def sends_nothing(algorithm: Algorithm, task: Task) -> bool:
    """Whether there is nothing that clients and server tell each other."""
    message = algorithm.message(algorithm.server_init(task.current()))
    return not any(True for _ in message.leaves())


def by_examples(algorithm: Bound) -> bool:
    """Whether its clients say how many examples they hold, for the chain to weigh by."""
    return algorithm.options.get("weights", "uniform") is None
