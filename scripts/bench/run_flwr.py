"""Flower's simulation (Ray): as many one-CPU actors as there are cores, one thread each.

The server tells each task which client to be, so the cohorts are everybody's.
"""

import torch
import torch_models
import workloads
from contest import finish, job, mark
from flwr.client import ClientApp, NumPyClient
from flwr.common import FitIns, ndarrays_to_parameters
from flwr.server import ServerApp, ServerAppComponents, ServerConfig
from flwr.server.strategy import FedAvg
from flwr.simulation import run_simulation

todo = job()
name, cohorts = todo["workload"], todo["cohorts"]
workload = workloads.WORKLOADS[name]
held = {}  # what an actor keeps between its tasks


class Client(NumPyClient):
    """A task: one client's local training."""

    def fit(self, parameters, config):
        if not held:
            torch.set_num_threads(1)
            clients = [tuple(map(torch.from_numpy, client)) for client in workloads.clients(name)]
            held.update(clients=clients, model=torch_models.model(name))
        model, (x, y) = held["model"], held["clients"][config["client"]]
        with torch.no_grad():
            for parameter, array in zip(model.parameters(), parameters, strict=True):
                parameter.copy_(torch.from_numpy(array))
        optimizer = torch.optim.SGD(model.parameters(), workload.lr)
        for _ in range(workload.epochs):
            for batch in torch.randperm(len(y)).split(workload.batch_size):
                optimizer.zero_grad()
                torch_models.loss(model(x[batch]), y[batch]).backward()
                optimizer.step()
        return arrays(model), len(y), {}


class Strategy(FedAvg):
    """FedAvg with everybody's cohorts."""

    def configure_fit(self, server_round, parameters, client_manager):
        proxies = client_manager.sample(workload.cohort, workload.cohort)
        return [
            (proxy, FitIns(parameters, {"client": client}))
            for proxy, client in zip(proxies, cohorts[server_round - 1], strict=True)
        ]

    def aggregate_fit(self, server_round, results, failures):
        assert not failures, failures[0]
        mean = super().aggregate_fit(server_round, results, failures)
        mark()
        return mean


def arrays(model):
    return [parameter.detach().numpy() for parameter in model.parameters()]


def server(_):
    strategy = Strategy(
        fraction_evaluate=0.0,
        min_available_clients=workload.cohort,
        initial_parameters=ndarrays_to_parameters(arrays(torch_models.model(name))),
    )
    mark()
    return ServerAppComponents(strategy=strategy, config=ServerConfig(num_rounds=len(cohorts)))


if __name__ == "__main__":
    run_simulation(
        ServerApp(server_fn=server),
        ClientApp(client_fn=lambda _: Client().to_client()),
        num_supernodes=workload.cohort,
        backend_config={
            "client_resources": {"num_cpus": 1, "num_gpus": 0},
            "init_args": {"logging_level": "ERROR"},
        },
    )
    finish("flwr", "ray", "torch", "numpy")
