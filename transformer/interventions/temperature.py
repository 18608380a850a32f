"""Attention made sharper or flatter."""

from dataclasses import dataclass

from torch import Tensor

from transformer.config import ModelConfig
from transformer.config.interventions import INTERVENTIONS
from transformer.interventions.of_heads import COOLEST, HOTTEST, OfHeads
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
        self.check_number("temperature", COOLEST, HOTTEST)

    def sets(self, model: ModelConfig) -> frozenset[str]:
        """Its heads' temperature."""
        return self.in_words("the temperature", model)

    def act(self, site: str, value: Tensor, scene: Scene) -> Tensor:
        """Its heads' scores."""
        return self.on_heads(site, value, value / self.temperature, scene.config)
