"""Previous-token heads by decree."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from transformer.config import ModelConfig
from transformer.config.interventions import INTERVENTIONS
from transformer.config.plain import ADDED
from transformer.interventions.of_rows import OfRows
from transformer.model.intervened import Scene


@INTERVENTIONS.register("PreviousToken")
@dataclass(frozen=True, kw_only=True)
class PreviousToken(OfRows):
    """Tokens attend to the one before them by `strength`, to themselves by the rest."""

    strength: float = field(default=1.0, metadata=ADDED)
    activation = "pattern"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_number("strength", 0, 1)

    def hides(self, model: ModelConfig) -> frozenset[str]:
        """Its heads' scores, if all rows are its own."""
        if self.rows == "labels":
            return frozenset()
        return self.of_own("q", "k", "attn_scores", model=model)

    def act(self, site: str, value: Tensor, scene: Scene) -> Tensor:
        """Its rows."""
        n_rows, n_tokens = value.shape[2:4]
        one = torch.eye(n_tokens, dtype=value.dtype, device=value.device)
        rows = (1 - self.strength) * one + self.strength * one.roll(-1, 1)  # row t: 1 at t - 1
        rows = torch.cat([one[:1], rows[1:]])
        own = self.own_rows(n_tokens, value)[-n_rows:].view(-1, 1, 1)
        changed = torch.where(own, rows[-n_rows:].unsqueeze(-1), value)
        return self.on_heads(site, value, changed, scene.config)
