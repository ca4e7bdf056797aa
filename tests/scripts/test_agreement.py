"""How far engines are apart, as the script says it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_engines_agree_on_tiny_clients() -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    answer = subprocess.run(
        [sys.executable, ROOT / "scripts" / "agreement.py", "W3"],
        env=environment, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    found = re.findall(r"^(\w+) +from eager: aggregate (\S+),", answer.stdout, re.MULTILINE)
    assert [engine for engine, _ in found] == ["eager", "native", "stack"]
    assert all(float(distance) < 1e-6 for _, distance in found)
