"""A published number, as a file states it: a config with one more key, `expect:`.

`fedrun train config=baseline/NAME` trains the config and looks away from `expect`; `fedrun
reproduce NAME` runs it with the seeds named there and compares. Reads text files only.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import cached_property
from itertools import product
from pathlib import Path, PurePath
from typing import Annotated, Any

from fedrun.core.option import ConfigError, above, at_least
from fedrun.experiment import bind, choices, config_file, layer, suggest
from fedrun.experiment.accept import shown
from fedrun.report.accounted import METRIC, Accounting, read_accounting
from fedrun.report.figure import Protocol, read_protocol

FOLDER = "baseline"
OPTIONAL: dict[str, Any] = {"each": None, "minus": None, "over": None, "miss": None, "note": None}
Band = list[float | None]


@dataclass(frozen=True, kw_only=True)
class Expect:
    """What a paper reports, and how near to it counts as the same.

    metric: a figure of metrics.jsonl, such as test/accuracy, in its own unit
    protocol: last, best, mean_last K, rounds_to TARGET or first_to TARGET
    value: the published number (null: only a direction is published, or nothing at all)
    band: [low, high] for the mean over seeds; null for an open end; null for both: measured only
    each: [low, high] for every single seed besides (null: none)
    seeds: a run for each
    source: paper, table and row; or 'closed form', or 'direction'
    cost: minutes for one run on two cores
    minus: another baseline; the figure is the mean difference to it, seed by seed
    over: another baseline; the figure is the mean ratio to it, seed by seed
    miss: why the number does not come out, where that is known (it still counts as outside)
    note: what else a reader of the table should know
    """

    metric: str
    protocol: str
    value: float | None
    band: Band | None
    each: Band | None
    seeds: list[Annotated[int, at_least(0)]]
    source: str
    cost: Annotated[float, above(0)]
    minus: str | None
    over: str | None
    miss: str | None
    note: str | None


@dataclass(frozen=True)
class Baseline:
    """`config` is what `config=` is told; `tune`: settings of which the best counts; `accounting`:
    what is computed where there are no runs."""

    name: str
    config: str
    file: Path
    layer: layer.Layer
    expect: Expect
    tune: dict[str, list[Any]]
    accounting: Accounting | None = None

    @property
    def protocol(self) -> Protocol:
        return read_protocol(self.expect.protocol)

    @cached_property
    def other(self) -> Baseline | None:
        """The baseline that this one is compared with: its config, under this one's protocol."""
        name = self.expect.minus or self.expect.over
        return None if name is None else _other(self, name)

    @property
    def settings(self) -> list[list[str]]:
        """The overrides of each setting that is tried."""
        tried = product(*([f"{key}={_typed(v)}" for v in vs] for key, vs in self.tune.items()))
        return [list(setting) for setting in tried]

    @property
    def runs(self) -> int:
        """How many runs it takes, those of the other one included."""
        settings = len(self.settings) + (len(self.other.settings) if self.other else 0)
        return len(self.expect.seeds) * settings

    @property
    def minutes(self) -> float:
        return self.runs * self.expect.cost

    @property
    def digest(self) -> str:
        """Changes when the files say something else, so that an old verdict is seen as old."""
        said: list[Any] = [self.layer.choices, self.layer.body, self.layer.expect]
        if self.other:
            said += [self.other.digest]
        text = json.dumps(said, sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()


def shipped() -> list[str]:
    """The names of the shipped baselines."""
    start = f"{FOLDER}/"
    return [n.removeprefix(start) for n in choices.config_names() if n.startswith(start)]


def find(words: Sequence[str]) -> list[Baseline]:
    """Those that are named: by name, by pattern (`heart_*`), by a file, or by a folder of files."""
    found: dict[str, Baseline] = {}
    if "" in words:
        raise ConfigError("an empty word names no baseline; see: fedrun reproduce")
    for word in words:
        for baseline in _named(word):
            found[baseline.config] = baseline
    return list(found.values())


def read(config: str) -> Baseline:
    """What `config=...` states; ConfigError where it is not whole."""
    file = layer.locate(config)
    content = layer.load(config)
    own = [key for key in ("value", "band") if key not in _own(file)]
    if not content.expect or own:
        lacks = "expect" if not content.expect else f"expect.{own[0]}"
        raise ConfigError(f"{file} has no {lacks}: it states no published number of its own")
    if "accounting" in content.expect:
        return _accounted(config, file, content)
    given = {**OPTIONAL, **content.expect}
    tune = given.pop("tune", None)
    others = ["expect.tune", "expect.accounting"]
    converted, problems = bind.examine("expect", Expect, given, others)
    if not problems:
        problems = _problems(Expect(**converted))
    problems += _tune_problems(tune)
    bind.refuse([f"{file}: {problem}" for problem in problems])
    name = PurePath(config).stem
    return Baseline(name, config, file, content, Expect(**converted), tune or {})


def _accounted(config: str, file: Path, content: layer.Layer) -> Baseline:
    """A number that is computed: no seeds, no minutes, and no keys of a run."""
    accounting, problems = read_accounting(content.expect)
    given = {"metric": METRIC, "protocol": "last", "seeds": [0], "cost": 1.0}
    given |= {key: value for key, value in content.expect.items() if key != "accounting"}
    converted: dict[str, Any] = {}
    if not problems:
        converted, problems = bind.examine("expect", Expect, {**OPTIONAL, **given})
    if not problems:
        problems = _problems(Expect(**converted))
    problems += [f"{key} has no effect beside expect.accounting, which makes no runs"
                 for key in (*content.choices, *content.body)]  # fmt: skip
    bind.refuse([f"{file}: {problem}" for problem in problems])
    expect = replace(Expect(**converted), seeds=[], cost=0.0)
    return Baseline(PurePath(config).stem, config, file, content, expect, {}, accounting)


def _named(word: str) -> list[Baseline]:
    path = Path(word).expanduser()
    if path.suffix in (".yaml", ".yml"):
        return [read(word)]
    names = shipped()
    if word in names:
        return [read(f"{FOLDER}/{word}")]
    if path.is_dir():
        files = sorted(file for file in path.glob("*.yaml") if not file.name.startswith("_"))
        if not files:
            raise ConfigError(f"{word}: there is no baseline (NAME.yaml) in this folder")
        return [read(str(file)) for file in files]
    matching = [name for name in names if fnmatchcase(name, word.removeprefix(f"{FOLDER}/"))]
    if not matching:
        near = suggest.did_you_mean(suggest.nearest(word, names, most=2))
        raise ConfigError(f"there is no baseline {word!r}{near or '; see: fedrun reproduce'}")
    return [read(f"{FOLDER}/{name}") for name in matching]


def _own(file: Path) -> Mapping[str, Any]:
    """The keys of `expect` that stand in the file itself."""
    own: Mapping[str, Any] = config_file.read(file).get("expect") or {}
    return own


def _other(one: Baseline, name: str) -> Baseline:
    if name == one.name or "/" in name:
        raise ConfigError(
            f"{one.file}: expect.minus or over={name} is not accepted (accepted: the name of "
            f"another file beside it, or of a shipped baseline)"
        )
    beside = one.file.with_name(f"{name}.yaml")
    config = str(beside)
    if choices.config_file_of(f"{FOLDER}/{name}") == beside or not beside.is_file():
        config = f"{FOLDER}/{name}"
    try:
        file, content = layer.locate(config), layer.load(config)
    except ConfigError as error:
        raise ConfigError(f"{one.file}: {error}") from error
    tune = content.expect.get("tune")
    bind.refuse([f"{file}: {problem}" for problem in _tune_problems(tune)])
    if "accounting" in content.expect:
        raise ConfigError(f"{one.file}: {name} is computed and has no runs to compare with")
    alone = replace(one.expect, minus=None, over=None, each=None)
    return Baseline(file.stem, config, file, content, alone, tune or {})


def _problems(expect: Expect) -> list[str]:
    found = []
    for key, band in (("band", expect.band), ("each", expect.each)):
        if band is not None and not _is_band(band):
            found.append(
                f"expect.{key}={shown(band)} is not accepted (accepted: [low, high]; "
                f"null for an open end)"
            )
    if expect.band is None and (expect.value is not None or expect.each is not None):
        found.append("expect.band=null is for what is measured only, without value and each")
    if not expect.seeds or len(set(expect.seeds)) != len(expect.seeds):
        found.append(f"expect.seeds={shown(expect.seeds)} is not accepted (accepted: a list of "
                     f"different whole numbers, one at least)")  # fmt: skip
    if expect.minus and expect.over:
        found.append("expect.minus and expect.over are not taken together")
    try:
        read_protocol(expect.protocol)
    except ConfigError as error:
        found.append(f"expect.{error}")
    return found


def _is_band(band: Band) -> bool:
    ends = [end for end in band if end is not None]
    return len(band) == 2 and bool(ends) and ends == sorted(ends)


def _tune_problems(tune: Any) -> list[str]:
    whole = tune is None or (
        isinstance(tune, Mapping)
        and all(isinstance(v, list) and v and not isinstance(v[0], dict) for v in tune.values())
    )
    if whole and tune and "seed" in tune:
        return [
            "expect.tune is not for seeds, of which none is the best; name them in expect.seeds"
        ]
    example = "{local.lr: [0.1, 0.2]}"
    return [] if whole else [f"expect.tune={shown(tune)} is not accepted (such as {example})"]


def _typed(value: Any) -> str:
    """A value as an override has it."""
    return shown(value) if isinstance(value, list) or not isinstance(value, str) else value
