"""What a list of releases comes to, as an accountant sees it: the theorems, and their limits.

Neighbours differ in one participant. Its clipped contribution moves the sum by at most the clip
norm C where it is there or not (`add_remove`, `zero_out`), by 2C where it is another
(`replace_one`): there every noise multiplier counts half.

poisson: the subsampled Gaussian (Mironov, Talwar, Zhang 2019; Zhu, Dong, Wang 2022), or Laplace.
fixed: subsets of one size, RDP only (Wang, Balle, Kasiviswanathan 2019, theorem 27). Its proof
    compares the participant with the one who would stand in its place, so both are data.
full, cyclic, shuffled: no amplification; as many releases as one participant takes part in at most.
tree, banded: a whole run is one Gaussian release (Denisov et al. 2022): `participation.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import exp, inf
from typing import TYPE_CHECKING, Any

from fedrun.accounting.participation import most_turns, separation, tree_sensitivity, turns_within
from fedrun.core.option import ConfigError

if TYPE_CHECKING:  # it imports PyTorch, which nothing here needs
    from fedrun.core.privacy import Event, Relation

PATTERNED = ("cyclic", "shuffled")
IN_ALL = ("full", *PATTERNED)


@dataclass
class Parts:
    """The releases of one participant's worst case; equal ones are merged.

    mu: of the Gaussians without amplification, sum of 1 / multiplier^2; infinite without noise
    poisson: (rate, multiplier) -> how many subsampled Gaussians
    fixed: (cohort, population, multiplier) -> how many
    laplace: (rate, scale) -> how many
    response: (epsilon, classes) -> how many answers by randomized response
    """

    gaussian: float = 0.0
    poisson: dict[tuple[float, float], int] = field(default_factory=dict)
    fixed: dict[tuple[int, int, float], int] = field(default_factory=dict)
    laplace: dict[tuple[float, float], int] = field(default_factory=dict)
    response: dict[tuple[float, int], int] = field(default_factory=dict)

    @property
    def unprotected(self) -> bool:
        """Whether something was released without noise."""
        return self.gaussian == inf

    @property
    def all_gaussian(self) -> bool:
        """Whether they are one Gaussian release, of which epsilon is known exactly."""
        return not (self.poisson or self.fixed or self.laplace or self.response)

    @property
    def pure(self) -> float:
        """The epsilon that holds with delta 0 (basic composition); infinite where there is none."""
        if self.gaussian or self.poisson or self.fixed:
            return inf
        total = sum(count / scale for (_, scale), count in self.laplace.items())
        return total + sum(epsilon * count for (epsilon, _), count in self.response.items())

    @property
    def kinds(self) -> int:
        """How many distinct releases an accountant must compose."""
        sampled = len(self.poisson) + len(self.fixed)
        return bool(self.gaussian) + sampled + len(self.laplace) + len(self.response)


def parts(stretches: Sequence[tuple[Event, int]], relation: Relation) -> Parts:
    """What the stretches come to. Each is (event, rounds): that many rounds in a row.

    Where turns go round (cyclic, shuffled), rounds that are left out or made once more end a
    stretch, since somebody's turn may come again at once in the next; with each a new tree begins.
    Elsewhere it makes no difference how the rounds are cut into stretches.
    """
    found, begun = Parts(), False
    for event, rounds in stretches:
        if type(rounds) is not int or rounds < 0:
            raise ConfigError(f"{rounds!r} releases are not accepted (accepted: 0, 1, 2, ...)")
        if not rounds:
            continue
        add(found, event, rounds, relation, begun=begun)
        begun = begun or event.sampling.scheme in PATTERNED
    return found


def add(found: Parts, event: Event, rounds: int, relation: Relation, *, begun: bool) -> None:
    """Put a stretch of rounds to the others; a `ConfigError` where no theorem covers it.

    begun: whether it may begin in the middle of a pass.
    """
    scheme = event.sampling.scheme
    check(event, relation)
    turns = (turns_within if begun else most_turns)(event.sampling, rounds)
    half = 0.5 if relation == "replace_one" else 1.0
    noise = event.noise_multiplier * half
    if event.mechanism == "randomized_response":
        merge(found.response, (event.epsilon, event.classes), turns)
        return
    if noise == 0:
        found.gaussian = inf
    elif event.mechanism == "tree":
        found.gaussian += (
            tree_sensitivity(event.sampling, rounds, event.restart, turns) * (1 / noise) ** 2
        )
    elif event.mechanism == "banded":
        found.gaussian += (1 / noise) ** 2
    elif event.mechanism == "laplace":
        sampled = scheme == "poisson"
        rate = event.sampling.rate if sampled else 1.0
        merge(found.laplace, (rate, noise), rounds if sampled else turns)
    elif scheme == "poisson" and event.sampling.rate < 1:
        merge(found.poisson, (event.sampling.rate, noise), rounds)
    elif scheme == "fixed" and event.sampling.rate < 1:
        drawn = (int(event.sampling.cohort), event.sampling.population, noise)
        merge(found.fixed, drawn, rounds)
    else:
        found.gaussian += turns * (1 / noise) ** 2


def merge(counts: dict[Any, int], key: Any, count: int) -> None:
    counts[key] = counts.get(key, 0) + count


def check(event: Event, relation: Relation) -> None:
    """Refuse the pairs of mechanism, sampling and relation that no theorem covers (M1, M25)."""
    mechanism, scheme = event.mechanism, event.sampling.scheme
    if event.noise_multiplier < 0 or event.epsilon < 0:
        raise ConfigError("a noise multiplier and an epsilon are at least 0")
    if not 0 < event.sampling.rate <= 1:
        raise ConfigError(
            f"a cohort of {event.sampling.cohort:g} is not accepted "
            f"(accepted: above 0, at most the population {event.sampling.population})"
        )
    if scheme != "poisson" and event.sampling.cohort != int(event.sampling.cohort):
        raise ConfigError(
            f"a cohort of {event.sampling.cohort:g} is not whole, which "
            f"{scheme} sampling needs; poisson sampling does not"
        )
    if scheme == "full" and event.sampling.rate != 1:
        raise ConfigError(
            f"full participation takes all {event.sampling.population}, not "
            f"{event.sampling.cohort:g}; for fewer take poisson, fixed or cyclic"
        )
    if mechanism == "randomized_response":
        response(event, relation)
        return
    if scheme == "poisson" and relation == "replace_one" and event.sampling.rate < 1:
        raise ConfigError(
            "poisson sampling under replace_one is proved by no theorem that is "
            "implemented here; take add_remove or zero_out"
        )
    if scheme == "fixed" and relation != "replace_one":
        raise ConfigError(
            f"fixed-size sampling is proved under replace_one only, not under "
            f"{relation}: take replace_one, or poisson sampling"
        )
    if (scheme in PATTERNED or mechanism in ("tree", "banded")) and relation == "add_remove":
        raise ConfigError(
            f"{named(event)} does not go with add_remove, where one participant "
            "less would move the turns of the others; take zero_out or replace_one"
        )
    if scheme == "fixed" and mechanism == "laplace":
        raise ConfigError(
            "laplace noise under fixed-size sampling is proved by no theorem that "
            "is implemented here; take poisson sampling"
        )
    if mechanism in ("tree", "banded") and scheme not in IN_ALL:
        raise ConfigError(
            f"{mechanism} noise needs to know how often one takes part, which "
            f"{scheme} sampling does not bound; take cyclic or shuffled sampling"
        )
    if mechanism == "banded":
        apart = separation(event.sampling)
        if not 1 <= event.bands <= apart:
            raise ConfigError(
                f"banded noise with {event.bands} bands is not accepted: under {scheme} sampling "
                f"one may return in every round (accepted: 1 band; take cyclic sampling for more)"
                if apart == 1
                else f"banded noise with {event.bands} bands is not accepted: under {scheme} "
                f"sampling one may return after {apart} rounds (accepted: 1 to {apart} bands)"
            )


def response(event: Event, relation: Relation) -> None:
    if relation != "replace_one":
        raise ConfigError(
            "randomized response hides which answer was given, not that one was: "
            f"take replace_one, not {relation}"
        )
    if event.sampling.scheme not in IN_ALL:
        raise ConfigError(
            "randomized response is accounted without amplification; take full, "
            f"cyclic or shuffled sampling, not {event.sampling.scheme}"
        )
    if event.classes < 2:
        raise ConfigError(
            f"randomized response over {event.classes} answers is not accepted "
            "(accepted: at least 2)"
        )


def named(event: Event) -> str:
    """The half of an event that a relation does not go with."""
    if event.mechanism in ("tree", "banded"):
        return f"{event.mechanism} noise"
    return f"{event.sampling.scheme} sampling"


def keep(epsilon: float, classes: int) -> float:
    """The chance that randomized response of this epsilon leaves an answer as it is."""
    return 1 / (1 + (classes - 1) * exp(-epsilon))
