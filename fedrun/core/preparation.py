"""What was done to raw examples before a model was given them, for whoever uses the model later."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Feature:
    """One number of an example, or all numbers of one channel: (raw - subtract) / divide_by.

    name: the column or channel of the raw data.
    divide_by: None where the training rows had one value alone: the number is then 0.
    category: not None for an indicator: 1 where the column holds it, else 0.
    missing: what stands for a value that is missing, before all that; None where none may be.
    """

    name: str
    subtract: float = 0.0
    divide_by: float | None = 1.0
    category: str | None = None
    missing: float | None = None

    @property
    def is_fitted(self) -> bool:
        """Whether its constants are the training rows' own, and not those of a scale such as bytes.

        >>> Feature("grey", divide_by=255).is_fitted, Feature("age", 38.6, 13.6).is_fitted
        (False, True)
        """
        given = (self.category, self.missing) == (None, None) and self.divide_by is not None
        return not (given and self.subtract == 0 and float(self.divide_by or 0).is_integer())

    def to_json(self) -> dict[str, Any]:
        if self.category is not None:
            return {"name": self.name, "category": self.category}
        plain = {"name": self.name, "subtract": self.subtract, "divide_by": self.divide_by}
        return plain if self.missing is None else {**plain, "missing": self.missing}


@dataclass(frozen=True)
class Preparation:
    """How raw examples became the rows of a `Dataset`.

    how: in words.
    features: along the first axis of an example, in their order; empty where the words say all.
    target: of targets that are numbers: prediction * divide_by + subtract is in raw units.
    by_client: by name, where each client's examples are prepared in their own way.
    lost: whether constants of the training rows were used that are not among all these.
    """

    how: str
    features: tuple[Feature, ...] = ()
    target: Feature | None = None
    by_client: Mapping[str, tuple[Feature, ...]] = field(default_factory=dict)
    lost: bool = False

    def lists(self) -> list[tuple[Feature, ...]]:
        """Every list of features that there is."""
        return [each for each in (self.features, *self.by_client.values()) if each]

    @property
    def is_fitted(self) -> bool:
        """Whether some constants are the training rows' own."""
        every = [feature for features in self.lists() for feature in features]
        every += [self.target] if self.target else []
        return self.lost or any(feature.is_fitted for feature in every)

    def to_json(self) -> dict[str, Any]:
        """Plain values, without what is not there."""
        found: dict[str, Any] = {"how": self.how}
        if self.features:
            found["features"] = [feature.to_json() for feature in self.features]
        if self.by_client:
            found["features_by_client"] = {
                name: [feature.to_json() for feature in features]
                for name, features in self.by_client.items()
            }
        if self.target:
            found["target"] = self.target.to_json()
        return found


def same(names: tuple[str, ...] | list[str], divide_by: float) -> tuple[Feature, ...]:
    """Features that are all divided by the same number."""
    return tuple(Feature(name, divide_by=divide_by) for name in names)
