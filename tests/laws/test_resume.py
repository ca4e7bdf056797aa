"""Going on from a checkpoint is going straight on, to the bit."""

import pytest

from fedrun.experiment.checkpoint import load_checkpoint, save_checkpoint
from fedrun.experiment.choices import choices, chosen_by

OPTIONS = ("clients.per_round=3", "rounds=4")
WHOLE = {"afl": ["clients.per_round=1.0"], "cfl": ["clients.per_round=1.0"]}  # all or nothing
SERVERS = {"plain": (), "momentum": ("server.momentum=0.9", "server.lr=0.5")}


CASES = [(algorithm, "auto") for algorithm in choices("algorithm")]
CASES += [("scaffold", engine) for engine in choices("engine") if engine != "auto"]


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize(("algorithm", "engine"), CASES)
def test_resume(algorithm, engine, server, small, federation, play, same, tmp_path):
    if server != "plain" and "defaults" in chosen_by("algorithm", algorithm):
        pytest.skip("this method comes with its own server")
    options = (f"algorithm={algorithm}", f"engine={engine}", *small(algorithm, engine),
               *OPTIONS, *WHOLE.get(algorithm, []), *SERVERS[server])  # fmt: skip
    straight = play(federation(*options))
    half = straight[1].state
    path = save_checkpoint(tmp_path / "checkpoints", half.to_tree(), {}, 1)
    again = federation(*options)  # another process would build it anew
    restored = again.state.restored(load_checkpoint(path)[0])
    assert same(restored.to_tree(), half.to_tree())
    rest = play(again, restored)
    assert [event.state.round for event in rest] == [3, 4]
    for one, other in zip(straight[2:], rest, strict=True):
        assert same(one.state.to_tree(), other.state.to_tree())
        assert one.clients == other.clients


VARIANTS = [
    f"server={server} server.variant={variant}"
    for server in ("adagrad", "adam", "yogi")
    for variant in ("paper", "keras", "flamby")
]


@pytest.mark.parametrize(
    "server", [*VARIANTS, "server.momentum=0.9 server.nesterov=true server.schedule=cosine"]
)
def test_resume_of_a_server(server, federation, play, same, tmp_path):
    options = (*server.split(), "model.hidden=[8]", *OPTIONS)
    straight = play(federation(*options))
    path = save_checkpoint(tmp_path / "checkpoints", straight[1].state.to_tree(), {}, 1)
    again = federation(*options)
    rest = play(again, again.state.restored(load_checkpoint(path)[0]))
    for one, other in zip(straight[2:], rest, strict=True):
        assert same(one.state.to_tree(), other.state.to_tree())


TEXT = ("data=markov_text", "data.clients=4", "data.symbols=5", "data.length=6",
        "partition=natural", "model=char_lstm", "model.hidden=6")  # fmt: skip


@pytest.mark.parametrize("task", ["tokens", pytest.param("classes", marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "algorithm",
    [
        name if name in ("fedavg", "scaffold") else pytest.param(name, marks=pytest.mark.slow)
        for name in choices("algorithm")
    ],
)
def test_resume_of_token_sequences(algorithm, task, federation, play, same, tmp_path):
    if algorithm == "fedbn":
        pytest.skip("this model has no batch normalisation")
    if (algorithm, task) == ("fedlc", "tokens"):
        pytest.skip("it counts the examples of each class")
    options = (f"algorithm={algorithm}", *TEXT, f"data.task={task}", *OPTIONS,
               *WHOLE.get(algorithm, []))  # fmt: skip
    straight = play(federation(*options))
    path = save_checkpoint(tmp_path / "checkpoints", straight[1].state.to_tree(), {}, 1)
    again = federation(*options)
    rest = play(again, again.state.restored(load_checkpoint(path)[0]))
    for one, other in zip(straight[2:], rest, strict=True):
        assert same(one.state.to_tree(), other.state.to_tree())
        assert one.clients == other.clients
