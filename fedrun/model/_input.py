"""What a model reads: numbers, or tokens that it must embed first."""

from __future__ import annotations

from fedrun.core.dataset import Spec
from fedrun.core.option import ConfigError


def numbers_only(choice: str, spec: Spec) -> None:
    """Refuse a data set of tokens: whole numbers that are names, and no amounts."""
    if spec.vocabulary is not None:
        raise ConfigError(
            f"model={choice} reads numbers, and this data set has tokens (of {spec.vocabulary} "
            f"symbols) as inputs; take model=char_lstm"
        )


def vocabulary(choice: str, spec: Spec) -> int:
    """How many different tokens there are; refuse a data set of numbers, or of no sequences."""
    if spec.vocabulary is None or len(spec.input_shape) != 1:
        shape = "x".join(map(str, spec.input_shape))
        what = "numbers" if spec.vocabulary is None else "tokens"
        raise ConfigError(
            f"model={choice} reads sequences of tokens, and this data set has {what} of shape "
            f"{shape} as inputs; take data=markov_text, or another model such as mlp"
        )
    return spec.vocabulary
