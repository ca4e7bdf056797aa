"""`--json`: what happens in a run as JSON lines, and nothing else on stdout."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fedrun.cli import events
from fedrun.experiment import run as runs
from fedrun.experiment.compose import compose

WORDS = "data=wine model=logistic clients.count=5 clients.per_round=2 rounds=3"


def lines(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


def rows(path: Path) -> list[dict]:
    return lines((path / "metrics.jsonl").read_text())


def test_a_run_is_told_from_beginning_to_end(fedrun, manifest) -> None:
    answer = fedrun(f"train {WORDS} run.dir=one --json")
    told = lines(answer.out)
    assert [event.pop("event") for event in told] == ["started", *["round"] * 3, "finished"]
    begin, *middle, end = told
    assert begin == {
        "path": "one", "rounds": 3, "round": 0, "data": "wine", "clients": 5,
        "partition": "dirichlet/per_class@1", "clients_per_round": 2, "examples": 142,
        "parameters": 13 * 3 + 3, "engine": manifest(Path("one"))["engine"]["name"],
    }  # fmt: skip
    assert middle == rows(Path("one"))
    summary = json.loads(Path("one/summary.json").read_text())
    assert end == {"path": "one", "trained": True, "summary": summary}
    assert answer.err == ""
    again = lines(fedrun(f"train {WORDS} run.dir=one --json").out)
    assert again == [{"event": "finished", "path": "one", "trained": False, "summary": summary}]


def test_a_run_that_goes_on_says_after_which_round(fedrun) -> None:
    fedrun(f"train {WORDS} run.dir=one -q")
    begin, *middle, end = lines(fedrun("resume one rounds=5 --json").out)
    assert (begin["event"], begin["round"], begin["rounds"]) == ("started", 3, 5)
    assert [event["round"] for event in middle] == [4, 5]
    assert (end["event"], end["trained"], end["summary"]["rounds"]) == ("finished", True, 5)


@pytest.mark.slow
def test_epsilon_and_its_target(fedrun) -> None:
    told = lines(fedrun(f"train {WORDS} partition=iid privacy=central run.dir=one --json").out)
    assert told[0]["target_epsilon"] is None
    spent = [event["privacy/epsilon"] for event in told[1:-1]]
    assert spent == sorted(spent)
    assert spent[0] > 0
    assert "target_epsilon" not in lines(fedrun(f"train {WORDS} --json").out)[0]


def test_failed_work_has_its_reason_on_both(fedrun) -> None:
    answer = fedrun(f"train {WORDS} local.lr=1e38 run.dir=one --json", 1)
    last = lines(answer.out)[-1]
    assert (last["event"], last["path"], last["resume"]) == ("failed", "one", "fedrun resume one")
    assert answer.err == f"fedrun: {last['reason']}\n"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (f"train {WORDS} roundz=3 --json", "did you mean 'rounds'"),
        (f"train {WORDS} --json -q", "--quiet and --json exclude each other"),
        (f"train {WORDS} --json --dry-run", "--json has no effect with --dry-run"),
        ("resume nowhere --json", "is no run directory"),
        ("resume nowhere --json --quiet", "--quiet and --json exclude each other"),
    ],
)
def test_mistakes_are_told_on_stderr_alone(fedrun, words: str, told: str) -> None:
    answer = fedrun(words, 2)
    assert answer.out == ""
    assert told in answer.err


def test_an_interrupt_is_told(fedrun, monkeypatch: pytest.MonkeyPatch, manifest) -> None:
    shown = events.Events.show

    def stop(self: events.Events, event) -> None:
        shown(self, event)
        if event.state.round == 2:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(events.Events, "show", stop)
    answer = fedrun(f"train {WORDS} run.dir=one --json", 130)
    expected = {"event": "interrupted", "path": "one", "round": 2, "resume": "fedrun resume one"}
    assert lines(answer.out)[-1] == expected
    assert manifest(Path("one"))["status"] == "interrupted"


def test_other_code_that_prints_does_not_disturb(
    fedrun, monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    (folder / "chatty.py").write_text(
        "from fedrun.model.logistic import logistic\n"
        "def chatty(spec):\n"
        "    '''Prints.'''\n"
        "    print('here I am')\n"
        "    return logistic(spec)\n"
    )
    monkeypatch.syspath_prepend(folder)
    words = WORDS.replace("model=logistic", "model=chatty:chatty")
    answer = fedrun(f"train {words} --json")
    assert lines(answer.out)[-1]["event"] == "finished"
    assert "here I am" in answer.err


def test_a_reader_that_leaves_ends_a_run_that_can_be_gone_on_with(fedrun, manifest) -> None:
    read, write = os.pipe()
    with os.fdopen(write, "w") as stream:
        watching = events.Events(stream)
        os.close(read)
        words = [*WORDS.split(), "run.dir=one"]
        with pytest.raises(SystemExit, match="1"):
            runs.train(compose("train", words), watching)
    assert manifest(Path("one"))["status"] == "interrupted"
    assert lines(fedrun("resume one --json").out)[-1]["summary"]["rounds"] == 3


@pytest.mark.slow
def test_a_closed_pipe_leaves_no_traceback(folder: Path, manifest) -> None:
    command = f"{sys.executable} -m fedrun train {WORDS} rounds=500 run.dir=one --json | head -n 1"
    command = command.replace("rounds=3 ", "")
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=True)
    assert [event["event"] for event in lines(done.stdout)] == ["started"]
    assert done.stderr == ""
    assert manifest(Path("one"))["status"] == "interrupted"
