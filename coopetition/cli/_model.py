"""Which model a command is about: a named one, and its numbers."""

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
    """Which model: the published one, or a relative of it."""
    alpha: float | None = None
    """Strength of competition (the model's own, 0.1, without)."""
    mu1: float | None = None
    """ICL's irreducible error: above 0 ICL is transient, at 0 it persists (0.1 without)."""
    mu2: float | None = None
    """CIWL's irreducible error (0 without)."""
    mu3: float | None = None
    """IWL's irreducible error, in a model of three strategies."""

    def numbers(self) -> dict[str, float]:
        """The model's numbers that are given, by name."""
        given = {name: getattr(self, name) for name in ("alpha", "mu1", "mu2", "mu3")}
        return {name: value for name, value in given.items() if value is not None}

    def named(self) -> Model:
        """The model."""
        return named_model(self.model, **self.numbers())
