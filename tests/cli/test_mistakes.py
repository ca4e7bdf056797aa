"""A user's mistake costs one or two lines, says what is accepted, starts nothing, leaves nothing."""
# ruff: noqa: E501  (a command line and its answer stand on one line)

import gzip
import os
import shlex
import struct
import subprocess
import sys
from pathlib import Path

import pytest

CSV = "a,b,label\n" + "".join(f"{row},{row % 3},{row % 2}\n" for row in range(30))
PLUGIN = """
from fedrun.core.option import ConfigError

def picky(server, *, mu: float = 0.1):
    raise ConfigError("algorithm.mu is odd today; take 0.2")

def untyped(server, *, mu=0.1):
    raise AssertionError

def asking(server, weather, *, mu: float = 0.1):
    raise AssertionError

number = 3
"""
FILES = {
    "table.csv": CSV,
    "short.csv": "a,label\n1,0\n2\n",
    "empty.csv": "",
    "words.yaml": "just some words\n",
    "broken.yaml": "rounds: [1, 2\n",
    "tab.yaml": "local:\n\tlr: 1\n",
    "bomb.yaml": "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n",
    "twice.yaml": "rounds: 1\nrounds: 2\n",
    "key.yaml": "roundz: 3\n",
    "target.yaml": "model: {_target_: os.system, name: mlp}\n",
    "secret.yaml": "name: ${oc.env:HOME}\n",
    "method.py": PLUGIN,
    "broken_module.py": "def f(:\n",
    "raising.py": "raise RuntimeError('no licence found')\n",
}

# command line -> words of the answer
MISTAKES = {
    # spelling
    "train roundz=3": ["roundz", "did you mean 'rounds'?"],
    "train algorithm=fedprox algorithm.muu=1": ["algorithm=fedprox has no option 'muu'; did you mean 'mu'?"],
    "train algoritm.mu=1": ["algoritm.mu"],
    "train algoritm=fedprox": ["algoritm", "did you mean 'algorithm'?"],
    "train algorithm=fedporx": ["algorithm=fedporx", "did you mean 'fedprox'?", "fedavg"],
    "train config=example/clinic": ["config=example/clinic", "did you mean 'example/clinics'?"],
    "train config=nowhere.yaml": ["nowhere.yaml", "no such file"],
    "list algoritm": ["'algoritm'", "did you mean 'algorithm'?"],
    "show lr=1": ["'lr'", "local.lr"],
    "partition partition.alhpa=1": ["alhpa", "'alpha'"],
    # types and ranges
    "train rounds=ten": ["rounds='ten'", "a whole number"],
    "train rounds=1.5": ["rounds=1.5", "a whole number"],
    "train rounds=-1": ["rounds=-1", "at least 0"],
    "train local.lr=-1": ["local.lr=-1"],
    "train local.lr=nan": ["local.lr=", "a finite number"],
    "train seed=null": ["seed=null", "a whole number"],
    "train clients.count=0": ["clients.count=0", "at least 1"],
    "train clients.per_round=1.5": ["clients.per_round=1.5", "at most 1"],
    "train clients.per_round=11": ["clients.per_round=11", "10 clients"],
    "train model.hidden=[64,x]": ["model.hidden[1]='x'", "a whole number"],
    "train model.hidden=64": ["model.hidden=64", "a list"],
    "train partition.alpha=0": ["partition.alpha=0", "above 0"],
    "train device=gpu": ["device='gpu'", "cpu, cuda, auto"],
    "train name=a/b": ["name='a/b'", "letters"],
    "train name=..": ["name='..'"],
    "train checkpoint.keep=0": ["checkpoint.keep=0", "at least 1"],
    "train run.root=''": ["run.root"],
    # the grammar
    "train rounds": ["'rounds'", "key=value"],
    "train rounds=1,2": ["rounds=1,2", "takes one"],
    "train +rounds=2": ["rounds", "there already"],
    "train ~rounds": ["rounds"],
    "train model.hidden=[64": ["model.hidden=[64", "cannot be read"],
    "train config=train config=example/clinics": ["config= is given 2 times", "give it once"],
    "train config=": ["config= names nothing"],
    "train hydra.run.dir=x": ["Hydra"],
    "train ++model._target_=os.system": ["_target_"],
    # config files
    "train config=words.yaml": ["words.yaml", "key: value"],
    "train config=broken.yaml": ["broken.yaml", "line"],
    "train config=tab.yaml": ["tab.yaml line 2"],
    "train config=bomb.yaml": ["bomb.yaml line 1", "aliases"],
    "train config=twice.yaml": ["twice.yaml line 2", "second time"],
    "train config=key.yaml": ["key.yaml", "'roundz'", "did you mean 'rounds'?"],
    "train config=target.yaml": ["target.yaml", "_target_"],
    "train config=secret.yaml": ["secret.yaml", "oc.env"],
    "train config=.": ["config=.", "folder"],
    # data files
    "train data=table": ["data.path"],
    "train data=table data.path=no.csv data.target=label": ["no.csv"],
    "train data=table data.path=table.csv data.target=lable": ["lable", "did you mean 'label'?"],
    "train data=table data.path=table.csv": ["data.target"],
    "train data=table data.path=short.csv data.target=label": ["short.csv, line 3"],
    "train data=table data.path=empty.csv data.target=label": ["empty.csv"],
    "train data=inline": ["data.x"],
    "train data=mnist data.root=cut": ["train-images-idx3-ubyte"],
    "train data=mnist data.root=cut_gz": ["train-images-idx3-ubyte.gz"],
    "train data=mnist data.root=nowhere": ["nowhere"],
    # without effect, or not together
    "train local.decay=0.5": ["local.decay=0.5 has no effect", "local.schedule"],
    "train stop.value=0.9": ["stop.value=0.9 has no effect without stop.metric"],
    "train stop.metric=test/accuracy": ["stop.metric", "stop.value"],
    "train stop.metric=test/acuracy stop.value=1": ["test/acuracy", "test/accuracy"],
    "train evaluate.every=0 stop.metric=test/accuracy stop.value=1": ["evaluate.every=0"],
    "train algorithm=scaffold local=adam": ["scaffold", "local=adam"],
    "train algorithm=fedsgd local.batch_size=5": ["fedsgd", "local.batch_size"],
    "train partition=natural": ["partition=natural"],
    "train data=wine model=cnn": ["model=cnn"],
    "train data=diabetes": ["partition=dirichlet"],
    "train data=wine clients.count=1000": ["clients.count=1000"],
    "train clients.sampling=size": ["clients.sampling=size has no effect"],
    # users' own modules
    "train algorithm=nomodule:f": ["algorithm=nomodule:f", "no module 'nomodule'"],
    "train algorithm=method:pickyy": ["'pickyy'", "did you mean 'picky'?"],
    "train algorithm=method:number": ["'number' is not a function"],
    "train algorithm=method:picky": ["algorithm.mu is odd today; take 0.2"],
    "train algorithm=method:picky algorithm.mmu=1": ["'mmu'", "did you mean 'mu'?"],
    "train algorithm=method:untyped": ["'mu' needs a type"],
    "train algorithm=method:asking": ["'weather'"],
    "train algorithm=broken_module:f": ["broken_module", "SyntaxError"],
    "train algorithm=raising:f": ["raising", "no licence found"],
    "train algorithm=method:": ["package.module:factory"],
    # runs
    "resume nowhere": ["nowhere is no run directory"],
    "resume table.csv": ["table.csv is a file"],
    "resume .": ["manifest.json"],
    "evaluate nowhere": ["nowhere is no run directory"],
    "train run.root=table.csv": ["table.csv", "run.root"],
    "train run.dir=.": ["manifest.json"],
    "train run.dir=table.csv": ["table.csv is a file"],
}  # fmt: skip
TYPERS = {
    "trian": ["No such command", "train"],
    "train --quite": ["--quite", "--quiet"],
    "resume": ["Missing argument", "RUN"],
    "list algorithm more": ["more"],
}


@pytest.fixture
def place(folder: Path) -> Path:
    for name, content in FILES.items():
        (folder / name).write_text(content)
    for name, pack in (("cut", lambda content: content), ("cut_gz", gzip.compress)):
        (folder / name).mkdir()
        ending = ".gz" if name == "cut_gz" else ""
        for part, count in (("train", 20), ("t10k", 10)):
            images = struct.pack(">HBBIII", 0, 8, 3, count, 28, 28) + bytes(count * 784 - 100)
            labels = struct.pack(">HBBI", 0, 8, 1, count) + bytes(count)
            (folder / name / f"{part}-images-idx3-ubyte{ending}").write_bytes(pack(images))
            (folder / name / f"{part}-labels-idx1-ubyte{ending}").write_bytes(pack(labels))
    for module in ("method", "broken_module", "raising"):
        sys.modules.pop(module, None)
    return folder


@pytest.fixture(autouse=True)
def path_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)


def everything(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if "__pycache__" not in path.parts)
    return {str(path): path.read_bytes() if path.is_file() else b"" for path in files}


@pytest.mark.parametrize("line", MISTAKES)
def test_a_mistake_is_told_in_two_lines_and_leaves_nothing(fedrun, place: Path, line: str) -> None:
    before = everything(place)
    answer = fedrun(line, code=2)
    assert answer.out == ""
    assert answer.err.startswith("fedrun: ")
    assert answer.err.count("\n") <= 2, answer.err
    for words in MISTAKES[line]:
        assert words in answer.err, answer.err
    assert everything(place) == before


@pytest.mark.parametrize("line", TYPERS)
def test_commands_and_flags_are_checked_too(fedrun, place: Path, line: str) -> None:
    before = everything(place)
    answer = fedrun(line, code=2)
    for words in TYPERS[line]:
        assert words in answer.err, answer.err
    assert everything(place) == before


def test_a_gz_file_cut_in_the_middle(fedrun, place: Path) -> None:
    file = place / "cut_gz" / "train-images-idx3-ubyte.gz"
    file.write_bytes(file.read_bytes()[:-9])
    answer = fedrun("train data=mnist data.root=cut_gz", code=2)
    assert "train-images-idx3-ubyte.gz" in answer.err
    assert answer.err.count("\n") <= 2


@pytest.mark.parametrize(
    "line",
    [
        "train algorithm=fedprox algorithm.muu=1",
        pytest.param("train data=wine model=cnn", marks=pytest.mark.slow),
        "trian",
    ],
)
def test_as_a_program(place: Path, line: str) -> None:
    before = everything(place)
    root = Path(__file__).resolve().parents[2]
    answer = subprocess.run(
        [sys.executable, "-m", "fedrun", *shlex.split(line)],
        env={**os.environ, "PYTHONPATH": str(root)}, cwd=place,
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert answer.returncode == 2
    assert answer.stdout == ""
    assert "Traceback" not in answer.stderr
    assert everything(place) == before


def test_dry_run_checks_as_training_does(fedrun, place: Path) -> None:
    before = everything(place)
    assert "model=cnn" in fedrun("train --dry-run data=wine model=cnn", code=2).err
    out = fedrun("train --dry-run data=wine model=logistic").out
    assert "nothing was trained" in out
    assert everything(place) == before
