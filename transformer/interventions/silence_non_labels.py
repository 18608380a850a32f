"""A query that attends to labels only."""

from dataclasses import dataclass

import torch
from torch import Tensor

from transformer.config.interventions import INTERVENTIONS
from transformer.interventions.of_heads import HIDDEN, OfHeads
from transformer.model.intervened import Scene


@INTERVENTIONS.register("SilenceNonLabels")
@dataclass(frozen=True, kw_only=True)
class SilenceNonLabels(OfHeads):
    """The query attends neither to exemplars nor to itself: labels share by their scores."""

    activation = "attn_scores"

    def act(self, site: str, value: Tensor, scene: Scene) -> Tensor:
        """The query's scores, hidden but for the labels."""
        hidden = torch.zeros(value.shape[2:4], dtype=torch.bool, device=value.device)
        hidden[-1, ::2] = True
        changed = value.masked_fill(hidden.unsqueeze(-1), HIDDEN)
        return self.on_heads(site, value, changed, scene.config)
