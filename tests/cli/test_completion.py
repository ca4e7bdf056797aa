"""What Tab offers, asked as the shells ask."""

import os
import pty
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from fedrun.cli.completion import all_keys, complete, complete_group
from fedrun.experiment import choices

PROGRAM = "import sys; sys.argv[0] = 'fedrun'; from fedrun.cli.app import main; main()"


def ask(shell: str, *words: str, **variables: str) -> str:
    answer = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", PROGRAM, *words],
        env={**os.environ, "_FEDRUN_COMPLETE": shell, **variables},
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert " torch" not in answer.stderr, "Tab must not wait for PyTorch"
    assert " fedrun.cli.app" in answer.stderr, answer.stderr
    return answer.stdout


def bash(*words: str) -> list[str]:
    """The candidates for the last of these words, which are cut as bash cuts them."""
    joined, last = "\n".join(words), str(len(words) - 1)
    return ask("complete_bash", COMP_WORDS=joined, COMP_CWORD=last).split()


def test_a_key_is_completed_up_to_the_equals_sign() -> None:
    assert "algorithm=" in complete("alg")
    assert "algorithm.mu=" in complete("algorithm.")
    assert "clients.per_round=" in complete("cl")
    assert "config=" in complete("conf")
    assert complete("nonsense") == []


def test_the_only_key_comes_with_its_values_so_that_no_blank_follows() -> None:
    keys = complete("algorithm.m")
    assert len(keys) > 1
    assert all(word.startswith("algorithm.mu=") for word in keys)
    assert set(complete("local.mom")) == {"local.momentum=", "local.momentum=0.0"}
    assert "protocol=synchronous" in complete("protoc")


def test_whole_words_are_completed_whole() -> None:
    assert complete("algorithm=fedpro") == ["algorithm=fedprox"]
    assert complete("config=example/cl") == ["config=example/clinics"]
    assert complete("device=") == ["device=cpu", "device=cuda", "device=auto"]
    assert complete("rounds=") == ["rounds=20"]


def test_own_config_files_are_offered(folder: Path) -> None:
    (folder / "mine.yaml").write_text("rounds: 1\n")
    (folder / "sub").mkdir()
    (folder / "sub" / "other.yaml").write_text("rounds: 1\n")
    assert complete("config=mi") == ["config=mine.yaml"]
    assert complete("config=sub/") == ["config=sub/other.yaml"]


@pytest.mark.parametrize("group", choices.groups())
def test_every_group_choice_and_option_is_offered(group: str) -> None:
    names = choices.choices(group)
    assert complete(f"{group}=") == [f"{group}={name}" for name in names]
    for name in names:
        body = yaml.safe_load((choices.folder() / group / f"{name}.yaml").read_text())
        body = body.get(group, body)
        start = choices.where(group, name)
        assert {f"{start}.{key}" for key in body if key != "name"} <= set(all_keys())


def test_list_completes_groups() -> None:
    assert complete_group("al") == ["algorithm"]
    assert "config" in complete_group("")


def test_bash_cuts_words_at_the_equals_sign() -> None:
    assert bash("fedrun", "tr") == ["train"]
    assert bash("fedrun", "train", "algorithm", "=") == choices.choices("algorithm")
    assert bash("fedrun", "train", "rounds", "=", "3", "algorithm", "=", "fedpro") == ["fedprox"]


def test_bash_in_the_middle_of_a_line() -> None:
    words = ["fedrun", "train", "algorithm", "=", "fedpro", "rounds", "=", "3"]
    found = ask("complete_bash", COMP_WORDS="\n".join(words), COMP_CWORD="4")
    assert found.split() == ["fedprox"]
    found = ask(
        "complete_bash", COMP_WORDS="\n".join([*words[:4], "fedprox", "alg"]), COMP_CWORD="5"
    )
    assert "algorithm=" in found.split()


def test_zsh_and_fish_hand_over_whole_words() -> None:
    line = "fedrun train rounds=3 algorithm=fedpro"
    assert '"algorithm=fedprox"' in ask("complete_zsh", _TYPER_COMPLETE_ARGS=line)
    found = ask("complete_fish", _TYPER_COMPLETE_ARGS=line, _TYPER_COMPLETE_FISH_ACTION="get-args")
    assert found.split() == ["algorithm=fedprox"]
    assert '"show"' in ask("complete_zsh", _TYPER_COMPLETE_ARGS="fedrun sh")


@pytest.mark.parametrize("word", ["--help", "--version"])
def test_help_does_not_wait_for_pytorch(word: str) -> None:
    assert "fedrun" in ask("", word)


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash here")
def test_a_real_bash(tmp_path: Path) -> None:
    program = tmp_path / "fedrun"
    program.write_text(f'#!/bin/sh\nexec \'{sys.executable}\' -c "{PROGRAM}" "$@"\n')
    program.chmod(0o755)
    script = tmp_path / "completion.bash"
    script.write_text(ask("source_bash"))
    with Terminal(tmp_path) as terminal:
        terminal.run(f"source {script}; bind 'set bell-style none'")
        assert terminal.tab("fedrun tr") == "fedrun train "
        assert terminal.tab("fedrun train algorithm=fedpro") == "fedrun train algorithm=fedprox "
        assert terminal.tab("fedrun train rounds=3 local.mom") == (
            "fedrun train rounds=3 local.momentum="
        )
        assert (
            terminal.tab("fedrun show config=example/cl") == "fedrun show config=example/clinics "
        )
        assert terminal.tab("fedrun sweep algorithm=fedp") == "fedrun sweep algorithm=fedp"
        assert terminal.tab("fedrun sweep algorithm=fedavg,fedpr") == (
            "fedrun sweep algorithm=fedavg,fedprox "
        )
        assert terminal.tab("fedrun sweep config=base") == "fedrun sweep config=baseline/"
        assert terminal.tab("fedrun sweep --jobs 2 seed=0,1 local.mom") == (
            "fedrun sweep --jobs 2 seed=0,1 local.momentum="
        )


class Terminal:
    """A bash that sits at a terminal."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __enter__(self) -> "Terminal":
        path = f"{self.folder}{os.pathsep}{os.environ['PATH']}"
        environment = {**os.environ, "PATH": path, "PS1": "> ", "TERM": "dumb"}
        self.mine, theirs = pty.openpty()
        self.bash = subprocess.Popen(
            ["bash", "--norc", "--noprofile", "-i"],
            stdin=theirs, stdout=theirs, stderr=theirs, env=environment, start_new_session=True,
        )  # fmt: skip
        os.close(theirs)
        self.until("> ")
        return self

    def __exit__(self, *_: object) -> None:
        self.bash.kill()
        self.bash.wait()
        os.close(self.mine)

    def until(self, end: str) -> str:
        seen, last = "", time.monotonic() + 30
        while not seen.endswith(end):
            assert select.select([self.mine], [], [], max(0, last - time.monotonic()))[0], seen
            seen += os.read(self.mine, 4096).decode()
        return seen

    def run(self, line: str) -> None:
        os.write(self.mine, f"{line}; echo do''ne\n".encode())
        self.until("done\r\n> ")

    def tab(self, typed: str) -> str:
        """The line as it stands after Tab; it is thrown away then."""
        os.write(self.mine, typed.encode() + b"\t\x01echo '\x05|'\n")
        return self.until("|\r\n> ").removesuffix("|\r\n> ").rpartition("\n")[2]


def test_options_of_a_tracker_are_offered_with_their_defaults() -> None:
    assert complete("tracker.wandb.m") == ["tracker.wandb.mode=", "tracker.wandb.model="]
    assert complete("tracker.wandb.project=") == ["tracker.wandb.project=fedrun"]
    assert complete("tracker.wandb.model=") == [
        "tracker.wandb.model=true",
        "tracker.wandb.model=false",
    ]
