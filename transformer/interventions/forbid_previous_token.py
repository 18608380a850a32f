"""No attention to the previous token."""

from dataclasses import dataclass

import torch
from torch import Tensor

from transformer.config.interventions import INTERVENTIONS
from transformer.interventions.of_heads import HIDDEN
from transformer.interventions.of_rows import OfRows
from transformer.model.intervened import Scene


@INTERVENTIONS.register("ForbidPreviousToken")
@dataclass(frozen=True, kw_only=True)
class ForbidPreviousToken(OfRows):
    """Tokens cannot attend to the one before them."""

    activation = "attn_scores"

    def act(self, site: str, value: Tensor, scene: Scene) -> Tensor:
        """Its rows' scores, hidden at the token before."""
        n_rows, n_tokens = value.shape[2:4]
        before = torch.eye(n_tokens, dtype=torch.bool, device=value.device).roll(-1, 1)
        before[0] = False
        hidden = (before & self.own_rows(n_tokens, value).unsqueeze(1))[-n_rows:].unsqueeze(-1)
        return self.on_heads(site, value, value.masked_fill(hidden, HIDDEN), scene.config)
