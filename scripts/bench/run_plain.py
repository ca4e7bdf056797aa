"""No federation at all: one model, one PyTorch loop, the same number and size of SGD steps."""

import torch
import torch_models
import workloads
from contest import finish, job, mark

todo = job()
name = todo["workload"]
workload = workloads.WORKLOADS[name]
torch.set_num_threads(1)
clients = [tuple(map(torch.from_numpy, client)) for client in workloads.clients(name)]
test = tuple(map(torch.from_numpy, workloads.test_rows(name))) if todo["evaluate"] else None
model = torch_models.model(name)
optimizer = torch.optim.SGD(model.parameters(), workload.lr, foreach=False)


def evaluate(x: torch.Tensor, y: torch.Tensor) -> float:
    with torch.no_grad():
        batches = zip(x.split(500), y.split(500), strict=True)
        return sum(float((model(a).argmax(1) == b.flatten()).sum()) for a, b in batches)


mark()
for cohort in todo["cohorts"]:
    for client in cohort:
        x, y = clients[client]
        for _ in range(workload.epochs):
            for batch in torch.randperm(len(y)).split(workload.batch_size):
                optimizer.zero_grad()
                torch_models.loss(model(x[batch]), y[batch]).backward()
                optimizer.step()
    if test:
        evaluate(*test)
    mark()
finish("torch", "numpy")
