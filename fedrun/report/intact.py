"""Whether a finished run says what it said when it ended."""

from __future__ import annotations

import json
from pathlib import Path

from fedrun.core.option import RunError
from fedrun.experiment.files import read_json, read_metrics, sealed, sha256

LOG = "metrics.jsonl"


def refuse_changed(run: Path) -> None:
    """RunError where `metrics.jsonl`, of which figures are taken, or the manifest that vouches for
    it, is not what the run wrote. `fedrun audit` looks at everything."""
    file = run / "manifest.json"
    manifest = read_json(file)
    whole = (json.dumps(sealed(manifest), indent=2) + "\n").encode()
    if "seal" in manifest and file.read_bytes() != whole:
        raise RunError(f"{file} does not match its own seal{MEND.format(run)}")
    read_metrics(run)
    known = manifest.get("files", {}).get(LOG)
    if known is not None and sha256((run / LOG).read_bytes()) != known:
        raise RunError(f"{run / LOG} is not the one that the run wrote{MEND.format(run)}")


MEND = "; bring it back, or delete {}, and the run is made again"
