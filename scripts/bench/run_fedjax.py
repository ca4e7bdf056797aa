"""FedJAX: federated averaging as its own examples write it, with its `jit` backend.

Every batch shape is compiled before the clock starts.
"""

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import workloads
from contest import finish, job, mark

jax.tree_map = jax.tree_util.tree_map  # FedJAX 0.0.17 needs it; JAX has dropped it since
import fedjax  # noqa: E402

todo = job()
name = todo["workload"]
workload = workloads.WORKLOADS[name]


def network(x):
    if name == "W1":
        return hk.nets.MLP([200, 200, 10])(x)
    if name == "W3":
        return hk.Linear(10)(x)
    if name == "W4":
        x = hk.Embed(90, 8)(x)
        core = hk.DeepRNN([hk.LSTM(256), hk.LSTM(256)])
        hidden, _ = hk.dynamic_unroll(core, x, core.initial_state(len(x)), time_major=False)
        return hk.Linear(90)(hidden)
    x = jnp.transpose(x, (0, 2, 3, 1))
    for channels in (32, 64):
        x = jax.nn.relu(hk.Conv2D(channels, 5)(x))
        x = hk.MaxPool((1, 2, 2, 1), (1, 2, 2, 1), "SAME")(x)
    return hk.nets.MLP([512, 10])(x.reshape(len(x), -1))


model = hk.without_apply_rng(hk.transform(network))


def loss(params, batch, _):
    log_chances = jax.nn.log_softmax(model.apply(params, batch["x"]))
    return -jnp.take_along_axis(log_chances, batch["y"][..., None], -1).mean()


gradient = jax.jit(jax.grad(loss))
local, server = fedjax.optimizers.sgd(workload.lr), fedjax.optimizers.sgd(1.0)


def start(params, key):
    return {"params": params, "state": local.init(params), "key": key}


def step(client, batch):
    key, used = jax.random.split(client["key"])
    slope = gradient(client["params"], batch, used)
    state, params = local.apply(slope, client["state"], client["params"])
    return {"params": params, "state": state, "key": key}


def end(params, client):
    return jax.tree_util.tree_map(lambda a, b: a - b, params, client["params"])


with fedjax.for_each_client_backend("jit"):
    for_each_client = fedjax.for_each_client(start, step, end)
batches = fedjax.ShuffleRepeatBatchHParams(
    batch_size=workload.batch_size, num_epochs=workload.epochs
)
clients = [fedjax.ClientDataset({"x": x, "y": y}) for x, y in workloads.clients(name)]
sizes = workloads.sizes(name)


def train(params, state, cohort, keys):
    work = [
        (client, clients[client].shuffle_repeat_batch(batches), key)
        for client, key in zip(cohort, keys, strict=True)
    ]
    updates = [(update, sizes[client]) for client, update in for_each_client(params, work)]
    state, params = server.apply(fedjax.tree_util.tree_mean(updates), state, params)
    return jax.block_until_ready(params), state


params = model.init(jax.random.PRNGKey(0), clients[0].all_examples()["x"][:10])
state = server.init(params)
_, one_of_each = np.unique(sizes % workload.batch_size, return_index=True)
keys = jax.random.split(jax.random.PRNGKey(1), len(one_of_each))
train(params, state, one_of_each.tolist(), keys)
key = jax.random.PRNGKey(2)
mark()
for cohort in todo["cohorts"]:
    key, *keys = jax.random.split(key, len(cohort) + 1)
    params, state = train(params, state, cohort, keys)
    mark()
finish("fedjax", "jax", "dm-haiku", "numpy")
