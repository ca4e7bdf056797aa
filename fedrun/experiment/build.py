"""From plain values to a federation that is ready to train. Here the config ends.

Every option of every group is checked before anything is loaded; then data, partition, model, local
and server optimisers, algorithm, engine and protocol are made, in this order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from fedrun.core.algorithm import Algorithm, Server
from fedrun.core.buffers import with_buffers
from fedrun.core.chain import weigh
from fedrun.core.dataset import Array, Dataset, Spec
from fedrun.core.federation import Engine, Federation, Protocol, State, System, initial_state
from fedrun.core.local import Local
from fedrun.core.option import ConfigError
from fedrun.core.partition import Partition, own_tests
from fedrun.core.privacy import Privacy
from fedrun.core.random import generator, torch_seed
from fedrun.core.task import Examples, Task
from fedrun.core.tree import Tree
from fedrun.experiment import choices
from fedrun.experiment.bind import Bound, bind_all, made
from fedrun.experiment.counting import refuse_target
from fedrun.experiment.participants import cohort_size, drawn_cohorts, sampling_of, seen_clients
from fedrun.experiment.protection import (
    refuse_algorithm,
    refuse_objective,
    refuse_own_tests,
    refuse_sampling,
    told_of_preparation,
)
from fedrun.experiment.settings import Settings, read_settings
from fedrun.experiment.sound import no_own_tests, refuse_missing, refuse_overlap, refuse_split

GROUPS = (
    "data", "partition", "model", "local", "server", "algorithm", "privacy", "system", "engine",
    "protocol", "tracker",
)  # fmt: skip


@dataclass(frozen=True)
class Holdings:
    """The first half of a federation: what there is to learn from, who holds it, and the numbers of
    the clients that will take part."""

    settings: Settings
    bound: Mapping[str, Bound]
    dataset: Dataset
    partition: Partition
    seen: Array


@dataclass(frozen=True)
class Experiment:
    """Everything that the loop needs; `state` is the one before round 1."""

    settings: Settings
    dataset: Dataset
    partition: Partition
    seen: Array
    task: Task
    train: Examples
    test: Examples
    privacy: Privacy
    federation: Federation
    engine: Engine
    protocol: Protocol
    state: State


def hold(values: Mapping[str, Any]) -> Holdings:
    """Check every option, load the data and draw the partition; needs no model."""
    settings = read_settings(values)
    bound = bind_all(choices.nodes({group: values[group] for group in GROUPS}))
    dataset = made(bound["data"], Dataset)
    refuse_missing(bound["data"].name, dataset)
    partition = made(
        bound["partition"],
        Partition,
        dataset=dataset,
        count=settings.clients.count,
        draw=generator(settings.seed, "partition"),
    )
    dataset = partition.data or dataset
    refuse_overlap(bound["partition"].name, partition, dataset)
    empty = int((partition.train.sizes == 0).sum())
    if empty:
        raise ConfigError(
            f"partition={bound['partition'].name} leaves {empty} of {len(partition)} clients "
            f"without a training example; take fewer clients or another partition"
        )
    if settings.clients.test_fraction is not None:
        refuse_split(settings.clients.test_fraction, bound, dataset)
        draw = generator(settings.seed, "split")
        dataset, partition = own_tests(dataset, partition, settings.clients.test_fraction, draw)
    seen = seen_clients(settings, len(partition))
    cohort_size(settings, len(seen))
    return Holdings(settings, bound, dataset, partition, seen)


def build(values: Mapping[str, Any]) -> Experiment:
    """The whole federation; a `ConfigError` where two choices do not go together."""
    return build_from(values, hold(values))


def build_from(values: Mapping[str, Any], held: Holdings) -> Experiment:
    """The federation on what its clients hold; `values` are those that `held` was made of."""
    # One thread per process, set once: parallelism is over clients, and OpenMP threads that fight
    # for busy cores cost a factor of ten.
    torch.set_num_threads(1)
    settings, bound, dataset, partition = held.settings, held.bound, held.dataset, held.partition
    device = resolve_device(settings.device, values["engine"].get("workers", 1))
    module = build_model(bound["model"], dataset.spec, settings.seed).to(device)
    task = Task(module, dataset.spec)
    local = made(bound["local"], Local, rounds=settings.rounds)
    server = made(bound["server"], Server, rounds=settings.rounds)
    refuse_sampling(bound["privacy"].name, settings.clients.sampling)
    sampling = sampling_of(settings, len(held.seen))
    privacy = made(
        bound["privacy"],
        Privacy,
        sampling=sampling,
        rounds=settings.rounds,
        seed=settings.seed,
        local=local,
        classes=max(2, dataset.spec.outputs) if dataset.spec.labelled else None,
        held=partition.train.only(held.seen),
    )
    privacy = told_of_preparation(privacy, dataset)
    train = dataset.train
    if privacy.answers:
        train = replace(train, y=privacy.answers(train.y))
    algorithm = made(
        bound["algorithm"],
        Algorithm,
        task=task,
        local=local,
        server=server,
        population=len(held.partition),
        seen=held.seen,
        cohort=cohort_size(settings, len(held.seen)),
        counts=lambda: partition.counts(train, dataset.spec),
        another=lambda place: another_model(bound["model"], dataset.spec, settings.seed, place),
    )
    examples = Examples.of(train, device)
    engine = made(
        bound["engine"],
        Engine,
        task=task,
        examples=examples,
        local=local,
        seed=settings.seed,
    )
    if privacy.steps:
        engine = replace(engine, how=f"{engine.how}; {engine.general.private_how()}")
    if module_buffers := task.current_buffers():
        if algorithm.gradients:
            raise ConfigError(
                f"algorithm={bound['algorithm'].name} corrects local steps by gradients over whole "
                f"local sets, which batch normalisation (model={bound['model'].name}) makes those "
                f"of another function; take a model with group normalisation"
            )
        algorithm = with_buffers(algorithm, module_buffers)
    elif algorithm.keeps_buffers:
        raise ConfigError(
            f"algorithm={bound['algorithm'].name} keeps each client's batch normalisation, and "
            f"model={bound['model'].name} has none"
        )
    if algorithm.survey and algorithm.needs == "each":
        raise ConfigError(
            f"algorithm={bound['algorithm'].name}: a survey's answers are averaged, which does not "
            f"go with needs='each'"
        )
    if algorithm.survey and algorithm.personal and len(held.seen) < len(partition):
        raise ConfigError(
            f"algorithm={bound['algorithm'].name} asks the cohort before it trains, and unseen "
            f"clients, who are scored with models of their own, are in none; leave clients.unseen "
            f"out"
        )
    if algorithm.personal and not ("personal/" in privacy.hidden or len(partition.test.rows)):
        raise no_own_tests(bound, dataset)
    refuse_own_tests(bound["privacy"].name, privacy, settings.clients.test_fraction)
    refuse_objective(bound, privacy, algorithm, settings.evaluate)
    refuse_algorithm(bound, privacy, algorithm, task, values["algorithm"].get("weights"))
    mean_steps = float(local.work.num_steps(partition.train.sizes).mean())
    owed = privacy.layer is not None and privacy.event is not None
    secret = privacy.streams if owed else None
    cohort = drawn_cohorts(settings, held.seen, partition, secret)
    size = sampling.cohort if sampling else cohort_size(settings, len(held.seen))
    chain = [privacy.layer] if privacy.layer else []
    if algorithm.needs == "sum" and not owed:
        chain.append(weigh)
    federation = Federation(
        algorithm=algorithm,
        chain=chain,
        solver=engine.solver,
        general=engine.general,
        held=partition.train,
        work=local.work,
        seed=settings.seed,
        cohort=cohort,
        cohort_size=size,
        population=len(held.seen),
        chunk_size=engine.chunk_size(max(1, round(size)), mean_steps),
        system=made(
            bound["system"],
            System,
            work=local.work,
            seed=settings.seed,
            cohort=cohort_size(settings, len(held.seen)),
        ),
        owed=owed,
        steps=privacy.steps,
    )
    state = initial_state(algorithm, federation.chain, task.current())
    if privacy.steps and values["privacy"].get("target_epsilon") is not None:
        method = f"algorithm={bound['algorithm'].name}"
        refuse_target(federation, state, int(held.seen[0]), method)
    return Experiment(
        settings=settings,
        dataset=dataset,
        partition=partition,
        seen=held.seen,
        task=task,
        train=examples,
        test=Examples.of(dataset.test, device),
        privacy=privacy,
        federation=federation,
        engine=engine,
        protocol=made(bound["protocol"], Protocol, federation=federation),
        state=state,
    )


def build_model(model: Bound, spec: Spec, seed: int) -> nn.Module:
    """The module with the first weights that `torch.manual_seed(seed)` gives it.

    So they are those of any PyTorch script that starts with this seed, which a comparison with
    other people's runs needs: on small problems the first weights decide more than the method.
    """
    # PyTorch's layers draw from its global generator: lend it one state, and put the old one back.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = made(model, nn.Module, spec=spec)
    if any(isinstance(m, _BatchNorm) and m.momentum is None for m in module.modules()):
        raise ConfigError(
            f"model={model.name} averages its running statistics over all batches (BatchNorm with "
            f"momentum=None), which counts batches and not clients; give it a momentum, such as 0.1"
        )
    if not any(p.requires_grad for p in module.parameters()):
        raise ConfigError(f"model={model.name} has no parameter to train")
    try:
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            shape = tuple(module.eval()(Examples.trial(spec, 2).x).shape)
    except (RuntimeError, IndexError) as error:  # IndexError: a token beyond an embedding
        why = str(error).partition("\n")[0]
        what = "examples" if spec.vocabulary is None else f"tokens 0 to {spec.vocabulary - 1}"
        raise ConfigError(
            f"model={model.name} cannot take this data set's {what} of shape "
            f"{'x'.join(map(str, spec.input_shape))}: {why}"
        ) from error
    if shape != (2, *spec.output_shape):
        raise ConfigError(
            f"model={model.name} gives outputs of shape {shape} for two examples; this data set "
            f"needs {(2, *spec.output_shape)}"
        )
    return module


def another_model(model: Bound, spec: Spec, seed: int, place: int) -> Tree:
    """First weights that are independent of the others with another place; 0 is the first model."""
    start = seed if place == 0 else torch_seed(seed, "model", place)
    return Task(build_model(model, spec, start), spec).current()


def resolve_device(device: str, workers: int) -> torch.device:
    """`auto` is the GPU where there is one and one worker; asking for a missing GPU is an error."""
    if device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device=cuda: PyTorch sees no GPU here; take device=cpu or device=auto")
    if device == "cuda" and workers > 1:
        raise ConfigError(
            f"engine.workers={workers} are processes on CPU cores; device=cuda takes 1"
        )
    torch.backends.cudnn.allow_tf32 = False  # float32 is float32
    usable = torch.cuda.is_available() and workers == 1
    return torch.device("cuda" if device != "cpu" and usable else "cpu")
