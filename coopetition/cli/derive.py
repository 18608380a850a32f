"""Derive the theory of a model symbolically and prove it (half a minute)."""

from dataclasses import dataclass

import tyro

from coopetition.cli._flags import ModelName
from coopetition.model.presets import named_model


@dataclass(frozen=True, kw_only=True)
class Flags:
    model: tyro.conf.Positional[ModelName]
    """Name of the model: the published one (`two_strategies`) or a variant of it."""
    latex: bool = False
    """Print the whole derivation, in Markdown with LaTeX."""


def run(flags: Flags) -> None:
    model = named_model(flags.model)
    from coopetition.theory.document import Derivation

    derivation = Derivation(flags.model, model)
    print(derivation.markdown() if flags.latex else derivation.text(), end="")
