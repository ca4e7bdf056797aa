"""`fedrun partition --out`, a run from that file, and `fedrun evaluate` on changed data."""

import json
from pathlib import Path

import pytest


def test_a_split_is_written_and_trained_on(fedrun, folder: Path) -> None:
    out = fedrun("partition data=wine clients.count=5 --out split.npz").out
    assert out.endswith("Written to split.npz\n")
    shown = fedrun("partition data=wine partition=file partition.path=split.npz seed=9").out
    assert "dirichlet/per_class@1, from a file" in shown
    digest = shown.split()[-1]
    assert digest in out
    run = fedrun.small(
        folder / "run", "partition=file", "partition.path=split.npz", f"partition.sha256={digest}"
    )
    facts = json.loads((run / "manifest.json").read_text())["partition"]
    assert facts == {"rule": "dirichlet/per_class@1", "sha256": digest}


@pytest.mark.parametrize(
    ("words", "names"),
    [
        ("partition=file", ["partition.path"]),
        ("partition=file partition.path=no.npz", ["partition.path=no.npz", "no such file"]),
        ("--out split.txt", ["--out split.txt", ".npz"]),
        ("--out none/split.npz", ["--out none/split.npz cannot be written", "No such file"]),
        ("partition=label_swap --out split.npz", ["--out split.npz", "label_swap/permutation@1"]),
    ],
)
def test_mistakes_are_two_lines_at_most(fedrun, words: str, names: list[str]) -> None:
    answer = fedrun(f"partition data=wine {words}", code=2)
    assert len(answer.err.splitlines()) <= 2
    assert not answer.out  # no tables, below which a refusal would be missed
    assert all(name in answer.err for name in names)
    assert not Path("split.npz").exists()


def test_groups_are_shown_and_evaluated_as_they_see_the_data(fedrun, folder: Path) -> None:
    words = ["partition=label_swap", "partition.copies=true"]
    out = fedrun(["partition", "data=wine", "clients.count=5", *words]).out
    assert "2 groups of 3, 2 clients" in out
    run = fedrun.small(folder / "run", *words)
    summary = json.loads((run / "summary.json").read_text())
    scored = fedrun(["evaluate", str(run)]).out
    assert "on 72 test examples of wine" in scored  # 36 rows as each group sees them
    assert f"{summary['final']['test/accuracy']:.4f}"[:5] in scored
