"""Flags of commands on a model: its name and its numbers."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tyro.extras import literal_type_from_choices

from coopetition.model.graph import Model
from coopetition.model.presets import MODELS, named_model

if TYPE_CHECKING:
    ModelName = str
else:
    ModelName = literal_type_from_choices(tuple(MODELS))


@dataclass(frozen=True, kw_only=True)
class ModelFlags:
    model: ModelName = "two_strategies"
    """The published model or a relative of it."""
    alpha: float | None = None
    """Strength of competition (None: the model's value, 0.1)."""
    mu1: float | None = None
    """ICL's irreducible error; above 0 ICL is transient (None: the model's value, 0.1)."""
    mu2: float | None = None
    """CIWL's irreducible error (None: the model's value, 0)."""
    mu3: float | None = None
    """IWL's irreducible error, in a model of three strategies."""

    def numbers(self) -> dict[str, float]:
        """Return the given numbers of the model, by name."""
        given = {name: getattr(self, name) for name in ("alpha", "mu1", "mu2", "mu3")}
        return {name: value for name, value in given.items() if value is not None}

    def named(self) -> Model:
        """Return the model."""
        return named_model(self.model, **self.numbers())
