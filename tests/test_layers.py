"""Who may import whom, and what may stand nowhere."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "fedrun"
FILES = sorted(PACKAGE.rglob("*.py"))
COMPONENTS = {
    "data", "partition", "model", "local", "server", "algorithm", "privacy", "secure",
    "compression", "attack", "defence", "system", "engine", "tracker", "callback",
}  # fmt: skip
ALLOWED = {
    "core": {"core"},
    "accounting": {"core", "accounting"},
    **{folder: {"core", folder} for folder in COMPONENTS},
    "privacy": {"core", "accounting", "privacy"},
    "protocol": {"core", "protocol"},
    "experiment": {"core", "accounting", "experiment"},  # components by name, through `bind` alone
    "report": {"core", "accounting", "experiment", "report"},
    "cli": {"core", "accounting", "experiment", "report", "cli"},
}
FORBIDDEN = {
    r"^\s*(import|from) pickle\b": {"engine/_arena.py"},  # between its own processes
    r"allow_pickle=True|torch\.load\(|joblib|shelve": set(),
    r"np\.random\.(seed|rand|randn|shuffle|permutation|choice)\(|\brandom\.seed\(": set(),
    # PyTorch's layers draw from the global generator only: its first weights, and dropout.
    r"torch\.manual_seed\(": {"engine/_draws.py", "experiment/build.py"},
}


def name(file):
    return file.relative_to(PACKAGE).as_posix()


def imported(file):
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name(file)}: a relative import"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("file", FILES, ids=name)
def test_imports_point_inwards(file):
    folder, _, rest = name(file).partition("/")
    if not rest:
        return  # fedrun/__init__.py and __main__.py are the doors
    assert folder in ALLOWED, f"a new folder {folder}: say here whom it may import"
    for module in imported(file):
        if module.startswith("fedrun."):
            assert module.split(".")[1] in ALLOWED[folder], f"{name(file)} imports {module}"
        elif folder == "core":
            top = module.partition(".")[0]
            assert top in {"torch", "numpy", "fedrun", *sys.stdlib_module_names}, module
        elif folder in {"data", "partition"}:
            assert module.partition(".")[0] != "torch", f"{name(file)}: NumPy only"


@pytest.mark.parametrize("file", FILES, ids=name)
def test_what_may_stand_nowhere(file):
    text = file.read_text()
    assert len(text.splitlines()) <= 300, "over 300 lines"
    for pattern, places in FORBIDDEN.items():
        if name(file) not in places:
            assert not re.search(pattern, text, re.MULTILINE), pattern


def test_only_these_places_use_the_exceptions():
    for pattern, places in FORBIDDEN.items():
        for place in places:
            assert re.search(pattern, (PACKAGE / place).read_text(), re.MULTILINE), place


@pytest.mark.parametrize(
    "module",
    [
        "fedrun",
        "fedrun.cli.app",
        "fedrun.cli.completion",
        "fedrun.experiment.compose",
        "fedrun.report.reproduction",
    ],
)
def test_help_and_tab_do_not_wait_for_torch(module):
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
