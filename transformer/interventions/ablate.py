"""Heads that add nothing."""

from dataclasses import dataclass

import torch
from torch import Tensor

from transformer.config.interventions import INTERVENTIONS
from transformer.interventions.of_heads import OfHeads
from transformer.model.intervened import Scene


@INTERVENTIONS.register("Ablate")
@dataclass(frozen=True, kw_only=True)
class Ablate(OfHeads):
    """Heads add nothing: what they mix is 0, whatever they attend to."""

    activation = "z"

    def act(self, site: str, value: Tensor, scene: Scene) -> Tensor:
        """Zero for its heads."""
        return self.on_heads(site, value, torch.zeros_like(value), scene.config)
