"""Tokens that say nothing."""

from dataclasses import dataclass

import torch
from torch import Tensor

from transformer.config import ModelConfig
from transformer.config.interventions import INTERVENTIONS, Intervention
from transformer.model.intervened import Scene


@INTERVENTIONS.register("AblateEmbedding")
@dataclass(frozen=True, kw_only=True)
class AblateEmbedding(Intervention):
    """Tokens are 0, positions stay: only what is preserved says anything."""

    def sites(self, model: ModelConfig) -> tuple[str, ...]:
        """The tokens."""
        return ("embed",)

    def act(self, site: str, value: Tensor, scene: Scene) -> Tensor:
        """Zero."""
        return torch.zeros_like(value)
