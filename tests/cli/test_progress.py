"""The live view of a run: what stands in it, at any width, and where there can be none."""

import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from fedrun.cli import privacy_view, progress, sweep_table
from fedrun.cli.theme import THEME, is_live

TITLE = "wine: 5 clients (2 a round)"


def screen(width: int, rounds: int = 60, cohort: float = 2.0) -> progress.Screen:
    """After 30 seconds and 20 rounds, of which 10 were there before."""
    console = Console(theme=THEME, width=width, height=24, force_terminal=True, color_system=None)
    view = progress.Screen(SimpleNamespace(console=console))
    view.path, view.title, view.budget = Path("run"), TITLE, None
    view.rounds, view.first, view.cohort, view.began = rounds, 10, cohort, 0.0
    view.history = [{"round": at, "test/accuracy": at / 20} for at in range(1, 21)]
    return view


def shown(view: progress.Screen, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setattr(progress, "monotonic", lambda: 30.0)
    console = view.live.console
    with console.capture() as captured:
        console.print(view.picture())
    return captured.get().splitlines()


@pytest.mark.parametrize("width", [60, 80, 200])
def test_rounds_pace_and_time_left(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    title, bar, accuracy = shown(screen(width), monkeypatch)
    assert title.rstrip() == TITLE
    # 10 rounds of 2 clients in 30 s; 40 more of 3 s each
    assert re.match(r"round 20/60 \S+ +30\.0 s, 2 min 0 s left, 0\.67 clients/s *$", bar)
    assert max(map(len, (title, bar, accuracy))) <= width
    assert accuracy.split()[:3] == ["test", "accuracy", "1.0000"]


def test_epsilon_and_what_it_may_become(monkeypatch: pytest.MonkeyPatch) -> None:
    view = screen(80)
    for line in view.history:
        line["privacy/epsilon"] = line["round"] / 10
    assert re.match(r"privacy epsilon +2\.0000  [▁▂▃▄▅▆▇█]+", shown(view, monkeypatch)[-1])
    view.budget = 8.0
    assert re.match(r"privacy epsilon +2\.0000  target 8 *$", shown(view, monkeypatch)[-1])


EPSILON = 20.125023545908295  # to the nearest 20.1250, which it is not bounded by


def test_an_epsilon_is_never_shown_below_the_truth(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    view = screen(80)
    view.history[-1]["privacy/epsilon"] = EPSILON
    assert "privacy epsilon  20.1251 " in shown(view, monkeypatch)[-1]
    lines = progress.Lines(Console(theme=THEME, highlight=False))
    lines.rounds = 20
    figures = {"privacy/epsilon": EPSILON, "time/round_seconds": 1.0}
    lines.show(SimpleNamespace(metrics=figures, state=SimpleNamespace(round=20)))
    assert "privacy/epsilon 20.1251 " in capsys.readouterr().out
    spent = sweep_table.spending(cell(1, **{"privacy/epsilon": EPSILON}))
    assert spent == "20.1251"


def test_the_closing_words_bound_epsilon() -> None:
    statement = {
        "epsilon": EPSILON, "delta": 1e-5, "unit": "client", "relation": "add_remove",
        "accountant": "pld", "version": "1", "real": True, "trust": "the server",
    }  # fmt: skip
    first, _ = privacy_view.privacy_lines(statement)
    assert first.startswith("\nprivacy  epsilon <= 20.1251 at delta 1e-05 for each client")


def test_the_target_stands_in_the_config(tmp_path: Path) -> None:
    for text, expected in (("8", 8.0), ("null", None)):
        (tmp_path / "config.yaml").write_text(f"privacy: {{name: x, target_epsilon: {text}}}\n")
        assert progress.target(tmp_path) == expected
    (tmp_path / "config.yaml").write_text("privacy: {name: x}\n")
    assert progress.target(tmp_path) is None


def test_a_terminal_that_cannot_move_up_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    assert not is_live(Console(force_terminal=True))
    monkeypatch.setenv("TERM", "xterm")
    assert is_live(Console(force_terminal=True))
    assert not is_live(Console(force_terminal=False))


def cell(number: int, **figures: float) -> SimpleNamespace:
    return SimpleNamespace(
        number=number, swept=(f"seed={number}",), status="finished", elsewhere=False, round=3,
        rounds=3, figures=figures, reason=None,
        figure=lambda metric: ("test/accuracy", figures["test/accuracy"]),
    )  # fmt: skip


@pytest.mark.parametrize("spent", [True, False])
def test_cells_of_a_sweep_show_epsilon_where_one_spends_it(spent: bool) -> None:
    more = {"privacy/epsilon": 1.5} if spent else {}
    cells = [cell(1, **{"test/accuracy": 0.5}, **more), cell(2, **{"test/accuracy": 0.25})]
    sweep = SimpleNamespace(cells=cells, metric="test/accuracy")
    console = Console(theme=THEME, width=60)
    with console.capture() as captured:
        console.print(sweep_table.table(sweep, cells, 60))
    lines = [line.split() for line in captured.get().splitlines()]
    epsilon = [["epsilon"], ["1.5000"], []] if spent else [[], [], []]
    assert lines[0] == ["seed", "state", "round", *epsilon[0], "test", "accuracy"]
    assert lines[1] == ["1", "1", "done", "3", *epsilon[1], "0.5000"]
    assert lines[2] == ["2", "2", "done", "3", *epsilon[2], "0.2500"]
