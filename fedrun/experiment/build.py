"""From plain values to a federation that is ready to train. Here the config ends.

Every option of every group is checked before anything is loaded; then data, partition, model, local
and server optimisers, algorithm, engine and protocol are made, in this order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import nn

from fedrun.core.algorithm import Algorithm, Server
from fedrun.core.chain import weigh
from fedrun.core.cohort import cohorts
from fedrun.core.dataset import Dataset, Spec
from fedrun.core.federation import Engine, Federation, Protocol, State, initial_state
from fedrun.core.local import Local
from fedrun.core.option import ConfigError
from fedrun.core.partition import Partition
from fedrun.core.random import generator
from fedrun.core.task import Examples, Task
from fedrun.experiment.bind import Bound, bind_all
from fedrun.experiment.settings import Settings, read_settings

T = TypeVar("T")
GROUPS = ("data", "partition", "model", "local", "server", "algorithm", "engine", "protocol")


@dataclass(frozen=True)
class Holdings:
    """The first half of a federation: what there is to learn from, and who holds it."""

    settings: Settings
    bound: Mapping[str, Bound]
    dataset: Dataset
    partition: Partition


@dataclass(frozen=True)
class Experiment:
    """Everything that the loop needs; `state` is the one before round 1."""

    settings: Settings
    dataset: Dataset
    partition: Partition
    task: Task
    test: Examples
    federation: Federation
    engine: Engine
    protocol: Protocol
    state: State


def hold(values: Mapping[str, Any]) -> Holdings:
    """Check every option, load the data and draw the partition; needs no model."""
    settings = read_settings(values)
    bound = bind_all({group: values[group] for group in GROUPS})
    dataset = made(bound["data"], Dataset)
    partition = made(
        bound["partition"],
        Partition,
        dataset=dataset,
        count=settings.clients.count,
        draw=generator(settings.seed, "partition"),
    )
    empty = int((partition.train.sizes == 0).sum())
    if empty:
        raise ConfigError(
            f"partition={bound['partition'].name} leaves {empty} of {len(partition)} clients "
            f"without a training example; take fewer clients or another partition"
        )
    cohort_size(settings, len(partition))
    return Holdings(settings, bound, dataset, partition)


def build(values: Mapping[str, Any]) -> Experiment:
    """The whole federation; a `ConfigError` where two choices do not go together."""
    # One thread per process, set once: parallelism is over clients, and OpenMP threads that fight
    # for busy cores cost a factor of ten.
    torch.set_num_threads(1)
    held = hold(values)
    settings, bound, dataset, partition = held.settings, held.bound, held.dataset, held.partition
    device = resolve_device(settings.device, values["engine"].get("workers", 1))
    module = build_model(bound["model"], dataset.spec, settings.seed).to(device)
    task = Task(module, dataset.spec)
    local = made(bound["local"], Local, rounds=settings.rounds)
    server = made(bound["server"], Server, rounds=settings.rounds)
    algorithm = made(bound["algorithm"], Algorithm, task=task, local=local, server=server)
    engine = made(
        bound["engine"],
        Engine,
        task=task,
        examples=Examples.of(dataset.train, device),
        local=local,
        seed=settings.seed,
    )
    size = cohort_size(settings, len(partition))
    mean_steps = float(local.work.num_steps(partition.train.sizes).mean())
    by_size = settings.clients.sampling == "size"
    weights = partition.train.sizes.astype(float) if by_size else None
    if by_size and size == len(partition):
        raise ConfigError(
            f"clients.sampling=size has no effect while all {size} clients take part in every "
            f"round; set clients.per_round"
        )
    federation = Federation(
        algorithm=algorithm,
        chain=[weigh],
        solver=engine.solver,
        held=partition.train,
        work=local.work,
        seed=settings.seed,
        cohort=cohorts(settings.seed, len(partition), size, weights),
        cohort_size=size,
        chunk_size=engine.chunk_size(size, mean_steps),
    )
    return Experiment(
        settings=settings,
        dataset=dataset,
        partition=partition,
        task=task,
        test=Examples.of(dataset.test, device),
        federation=federation,
        engine=engine,
        protocol=made(bound["protocol"], Protocol, federation=federation),
        state=initial_state(algorithm, task.current()),
    )


def made(bound: Bound, kind: type[T], **supplies: Any) -> T:
    """What the factory makes, which must be of the kind that its group is about."""
    found = bound.call(**supplies)
    if not isinstance(found, kind):
        raise ConfigError(
            f"{bound.group}={bound.name} returns {type(found).__name__}, "
            f"and a {bound.group} must be a {kind.__module__}.{kind.__qualname__}"
        )
    return found


def cohort_size(settings: Settings, num_clients: int) -> int:
    """Clients of a round: the number asked for, or the fraction rounded, at least 1."""
    asked = settings.clients.per_round
    if isinstance(asked, float):
        return max(1, round(asked * num_clients))
    if asked > num_clients:
        raise ConfigError(
            f"clients.per_round={asked} is more than the {num_clients} clients there are; "
            f"take at most {num_clients}, or a fraction such as 0.5"
        )
    return asked


def build_model(model: Bound, spec: Spec, seed: int) -> nn.Module:
    """The module with the first weights that `torch.manual_seed(seed)` gives it.

    So they are those of any PyTorch script that starts with this seed, which a comparison with
    other people's runs needs: on small problems the first weights decide more than the method.
    """
    # PyTorch's layers draw from its global generator: lend it one state, and put the old one back.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = made(model, nn.Module, spec=spec)
    if any(True for _ in module.buffers()):
        raise ConfigError(
            f"model={model.name} keeps buffers (as BatchNorm does), and averaging them is not "
            f"defined here yet; take GroupNorm or LayerNorm in its place"
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
