"""Attention made sharper or flatter."""

from dataclasses import dataclass

from torch import Tensor

from coopetition.tools.errors import UsageError
from transformer.config.interventions import INTERVENTIONS
from transformer.interventions.of_heads import OfHeads
from transformer.model.intervened import Scene


@INTERVENTIONS.register("Temperature")
@dataclass(frozen=True, kw_only=True)
class Temperature(OfHeads):
    """Scores are divided by `temperature`: above 1, attention is flatter.

    Those of this pass: the papers' code divides a clean pass's, which is the same unless
    something changes an earlier layer.
    """

    temperature: float
    activation = "attn_scores"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.temperature < float("inf"):
            raise UsageError(
                f"Temperature: temperature={self.temperature:g} is out of range; choose above 0"
            )

    def act(self, site: str, value: Tensor, scene: Scene) -> Tensor:
        """Its heads' scores."""
        return self.on_heads(site, value, value / self.temperature, scene.config)
