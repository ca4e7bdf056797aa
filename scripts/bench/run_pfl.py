"""pfl (pfl-research): SimulatedBackend and FederatedAveraging, with PyTorch."""

from itertools import chain

import torch
import torch_models
import workloads
from contest import finish, job, mark
from pfl.aggregate.simulate import SimulatedBackend
from pfl.aggregate.weighting import WeightByDatapoints
from pfl.algorithm.base import NNAlgorithmParams
from pfl.algorithm.federated_averaging import FederatedAveraging
from pfl.callback.base import TrainingProcessCallback
from pfl.data.dataset import Dataset
from pfl.data.federated_dataset import FederatedDataset
from pfl.hyperparam import NNEvalHyperParams, NNTrainHyperParams
from pfl.metrics import Metrics, Weighted
from pfl.model.pytorch import PyTorchModel

todo = job()
name, cohorts = todo["workload"], todo["cohorts"]
workload = workloads.WORKLOADS[name]
torch.set_num_threads(1)
clients = [tuple(map(torch.from_numpy, client)) for client in workloads.clients(name)]
order = chain.from_iterable(cohorts)


class Module(torch.nn.Module):
    """The workload's model with the methods that pfl asks for."""

    def __init__(self):
        super().__init__()
        self.model = torch_models.model(name)

    def forward(self, x):
        return self.model(x)

    def loss(self, x, y, is_eval=False):
        self.train(not is_eval)
        return torch_models.loss(self(x), y)

    def metrics(self, x, y, is_eval=False):
        return {"loss": Weighted(0.0, len(y))}


class Marks(TrainingProcessCallback):
    """Marks the rounds as they end."""

    def after_central_iteration(self, *_, **__):
        mark()
        return False, Metrics()


def dataset(client):
    return Dataset(raw_data=list(clients[client]), user_id=str(client))


module = Module()
backend = SimulatedBackend(
    training_data=FederatedDataset(dataset, lambda: next(order)),
    val_data=FederatedDataset(dataset, lambda: 0),
    postprocessors=[WeightByDatapoints()],
)
mark()
FederatedAveraging().run(
    algorithm_params=NNAlgorithmParams(
        central_num_iterations=len(cohorts),
        evaluation_frequency=10**9,  # it divides by it: 0 is no way to say never
        train_cohort_size=workload.cohort,
        val_cohort_size=1,
    ),
    backend=backend,
    model=PyTorchModel(module, torch.optim.SGD, torch.optim.SGD(module.parameters(), 1.0)),
    model_train_params=NNTrainHyperParams(
        local_num_epochs=workload.epochs,
        local_learning_rate=workload.lr,
        local_batch_size=workload.batch_size,
    ),
    model_eval_params=NNEvalHyperParams(local_batch_size=None),
    callbacks=[Marks()],
)
finish("pfl", "torch", "numpy")
