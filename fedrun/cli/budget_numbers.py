"""The plain numbers of `fedrun budget`: what a release is, in words without a config."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, get_args

from fedrun.core.option import ConfigError, Range, above, at_least, between

if TYPE_CHECKING:
    from fedrun.core.privacy import Event, Sampling

NUMBERS: dict[str, tuple[type, Range]] = {
    "sampling_rate": (float, between(0, 1, open_low=True)),
    "population": (int, at_least(1)),
    "cohort": (float, above(0)),
    "rounds": (int, at_least(1)),
    "noise_multiplier": (float, at_least(0)),
    "delta": (float, between(0, 1, open_high=True)),
    "target_epsilon": (float, above(0)),
    "epsilon": (float, above(0)),
    "classes": (int, at_least(2)),
    "restart": (int, at_least(0)),
    "bands": (int, at_least(1)),
    "parameters": (int, at_least(1)),
}
WORDS = ("sampling", "relation", "mechanism")
KEYS = (*NUMBERS, *WORDS)
SHARED = ("rounds", "target_epsilon")  # both a plain number and a key beside a config
BELONGS = {
    "epsilon": "randomized_response",
    "classes": "randomized_response",
    "restart": "tree",
    "bands": "banded",
}


@dataclass(frozen=True)
class Plain:
    """The question: so many rounds of one release.

    told_size: whether population and cohort are those of a federation, not of a bare rate.
    """

    event: Event
    rounds: int
    delta: float
    relation: Any
    target: float | None
    parameters: int | None
    told_size: bool


def read_numbers(words: Sequence[str]) -> Plain:
    """The question that these words ask; a `ConfigError` that names what is wrong or missing."""
    from fedrun.core.privacy import Event

    given = read_words(words)
    mechanism = given.get("mechanism", "gaussian")
    for key, owner in BELONGS.items():
        if key in given and mechanism != owner:
            raise ConfigError(
                f"{key}={given[key]:g} has no effect on {mechanism}; "
                f"it belongs to mechanism={owner}"
            )
    answers = mechanism == "randomized_response"
    if answers and (extra := [k for k in ("noise_multiplier", "target_epsilon") if k in given]):
        raise ConfigError(
            f"{extra[0]}={given[extra[0]]:g} has no effect on randomized_response; "
            "its noise follows from epsilon=, that of one answer"
        )
    need(given, "rounds")
    if answers:
        need(given, "epsilon")
    elif ("noise_multiplier" in given) == ("target_epsilon" in given):
        both = "noise_multiplier" in given
        raise ConfigError(
            "noise_multiplier= and target_epsilon= both say how much noise there is; give one"
            if both
            else "noise_multiplier= is missing; give it, or target_epsilon= to be told it"
        )
    sampling = sampling_of(given, mechanism)
    population = given.get("population")
    if "delta" not in given and population is None:
        raise ConfigError("delta= is missing; give it, or population= to take a tenth of 1 over it")
    if mechanism == "banded":
        need(given, "bands")
    default = {"poisson": "add_remove", "fixed": "replace_one"}.get(sampling.scheme, "zero_out")
    event = Event(
        mechanism=mechanism,
        sampling=sampling,
        noise_multiplier=given.get("noise_multiplier", 0.0 if answers else 1.0),
        epsilon=given.get("epsilon", 0.0),
        classes=given.get("classes", 2) if answers else 0,
        restart=given.get("restart", 0),
        bands=given.get("bands", 0),
    )
    return Plain(
        event,
        given["rounds"],
        given.get("delta", 0.1 / (population or 1)),
        given.get("relation", "replace_one" if answers else default),
        given.get("target_epsilon"),
        given.get("parameters"),
        population is not None,
    )


def read_words(words: Sequence[str]) -> dict[str, Any]:
    """key=value words as numbers within their ranges."""
    from fedrun.core.privacy import Mechanism, Relation, Scheme
    from fedrun.experiment.suggest import did_you_mean, nearest

    known = {
        "sampling": get_args(Scheme),
        "relation": get_args(Relation),
        "mechanism": get_args(Mechanism),
    }
    given: dict[str, Any] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if key not in KEYS:
            near = did_you_mean(nearest(key, KEYS))
            raise ConfigError(
                f"{key} is no number of a budget{near or f' (accepted: {chr(32).join(KEYS)})'}"
            )
        if not equals:
            raise ConfigError(f"{key} is given no value; write {key}=VALUE")
        if key in given:
            raise ConfigError(f"{key}= is given twice; give it once")
        if key in known:
            if value not in known[key]:
                near = did_you_mean(nearest(value, known[key]))
                raise ConfigError(
                    f"{key}={value} is not known{near} (accepted: {', '.join(known[key])})"
                )
            given[key] = value
        else:
            given[key] = number(key, value)
    return given


def number(key: str, text: str) -> float | int:
    kind, accepted = NUMBERS[key]
    what = "a whole number" if kind is int else "a number"
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not (
        value in accepted and abs(value) < float("inf") and (kind is float or value.is_integer())
    ):
        raise ConfigError(f"{key}={text} is not accepted (accepted: {what} {accepted})")
    return int(value) if kind is int else value


def need(given: dict[str, Any], key: str) -> None:
    if key not in given:
        raise ConfigError(f"{key}= is missing")


def sampling_of(given: dict[str, Any], mechanism: str) -> Sampling:
    """Who takes part; a bare rate stands for a part of one."""
    from fedrun.core.privacy import Sampling

    rate, cohort, population = (given.get(key) for key in ("sampling_rate", "cohort", "population"))
    bare = rate is None and cohort is None
    usual = {"tree": "cyclic", "banded": "cyclic", "randomized_response": "full"}
    scheme = given.get("sampling") or usual.get(mechanism, "poisson")
    if mechanism == "laplace" and bare and "sampling" not in given:
        scheme = "full"
    if scheme == "full" and bare:
        return Sampling(scheme="full", population=population or 1, cohort=population or 1)
    if rate is not None and cohort is not None:
        raise ConfigError("sampling_rate= and cohort= both say how many take part; give one")
    if cohort is not None and population is None:
        raise ConfigError(f"cohort={cohort:g} is one of a population= that is missing")
    if bare:
        raise ConfigError(
            "sampling_rate= is missing; give it, or population= and cohort=, or sampling=full"
        )
    if population is None and scheme in ("fixed", "cyclic", "shuffled"):
        raise ConfigError(f"{scheme} sampling needs population= and cohort= in whole numbers")
    if cohort is not None and cohort > population:
        raise ConfigError(f"cohort={cohort:g} is more than population={population}")
    size = cohort if cohort is not None else rate * (population or 1)
    if abs(size - round(size)) < 1e-9 * size:
        size = round(size)
    return Sampling(scheme=scheme, population=population or 1, cohort=size)
