"""FedLab: its standalone pipeline with the serial trainer."""

import torch

# FedLab imports torchvision, whose package on PyPI is built for a CUDA PyTorch: with any other its
# import needs these two operators to be declared.
declared = torch.library.Library("torchvision", "DEF")
for operator in ("nms", "qnms"):
    declared.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

import torch_models  # noqa: E402
import workloads  # noqa: E402
from contest import finish, job, mark  # noqa: E402
from fedlab.contrib.algorithm.basic_client import SGDSerialClientTrainer  # noqa: E402
from fedlab.contrib.algorithm.basic_server import SyncServerHandler  # noqa: E402
from fedlab.core.standalone import StandalonePipeline  # noqa: E402
from torch.utils.data import DataLoader, TensorDataset  # noqa: E402

todo = job()
name, cohorts = todo["workload"], todo["cohorts"]
workload = workloads.WORKLOADS[name]
torch.set_num_threads(1)
clients = [tuple(map(torch.from_numpy, client)) for client in workloads.clients(name)]
order = iter(cohorts)


class Clients:
    """The data in the form that FedLab's trainer asks for."""

    def get_dataloader(self, id, batch_size=None, type="train"):
        return DataLoader(TensorDataset(*clients[id]), batch_size=batch_size, shuffle=True)


class Handler(SyncServerHandler):
    """The server, with everybody's cohorts."""

    def sample_clients(self, num_to_sample=None):
        return next(order)


class Pipeline(StandalonePipeline):
    """The rounds, whose ends are marked."""

    def evaluate(self):
        mark()


handler = Handler(torch_models.model(name), len(cohorts), workload.cohort / workload.clients)
handler.num_clients, handler.round_clients = workload.clients, workload.cohort
trainer = SGDSerialClientTrainer(torch_models.model(name), workload.clients)
trainer.setup_dataset(Clients())
trainer.setup_optim(workload.epochs, workload.batch_size, workload.lr)
trainer.criterion = torch_models.loss
mark()
Pipeline(handler, trainer).main()
finish("fedlab", "torch", "numpy")
