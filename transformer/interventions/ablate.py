"""Heads that add nothing."""

from dataclasses import dataclass

import torch
from torch import Tensor

from transformer.config import ModelConfig
from transformer.config.interventions import INTERVENTIONS
from transformer.interventions.of_heads import OfHeads
from transformer.model.intervened import Scene


@INTERVENTIONS.register("Ablate")
@dataclass(frozen=True, kw_only=True)
class Ablate(OfHeads):
    """Heads add nothing: what they mix is 0, whatever they attend to."""

    activation = "z"

    def hides(self, model: ModelConfig) -> frozenset[str]:
        """All that its heads mix, and how."""
        return self.of_own("q", "k", "v", "attn_scores", "pattern", model=model)

    def act(self, site: str, value: Tensor, scene: Scene) -> Tensor:
        """Zero for its heads."""
        return self.on_heads(site, value, torch.zeros_like(value), scene.config)
