"""Flags of commands on a model: its name and its numbers."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from tyro.extras import literal_type_from_choices

from coopetition.model.graph import Model
from coopetition.model.presets import MODELS, named_model
from coopetition.tools.flags import default_shown_as

if TYPE_CHECKING:
    ModelName = str
else:
    ModelName = literal_type_from_choices(tuple(MODELS))


@dataclass(frozen=True, kw_only=True)
class ModelFlags:
    model: ModelName = "two_strategies"
    """Name of the model: the published one (`two_strategies`) or a variant of it."""
    alpha: Annotated[float | None, default_shown_as("the model's value, usually 0.1")] = None
    """Strength of competition."""
    mu1: Annotated[float | None, default_shown_as("the model's value, 0.1")] = None
    """Irreducible error of ICL; above 0, ICL is transient."""
    mu2: Annotated[float | None, default_shown_as("the model's value, 0")] = None
    """Irreducible error of CIWL."""
    mu3: Annotated[float | None, default_shown_as("the model's value")] = None
    """Irreducible error of IWL (only `three_strategies` has it)."""

    def numbers(self) -> dict[str, float]:
        """Return the given numbers of the model, by name."""
        given = {name: getattr(self, name) for name in ("alpha", "mu1", "mu2", "mu3")}
        return {name: value for name, value in given.items() if value is not None}

    def named(self) -> Model:
        """Return the model."""
        return named_model(self.model, **self.numbers())
