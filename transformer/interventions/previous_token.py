"""Previous-token heads by decree."""

from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from coopetition.tools.errors import UsageError
from transformer.config import ModelConfig
from transformer.config.interventions import INTERVENTIONS
from transformer.config.plain import ADDED, require_choice
from transformer.interventions.of_heads import OfHeads, strength_error
from transformer.model.intervened import Scene

Rows = Literal["all", "labels"]


@dataclass(frozen=True, kw_only=True)
class OfRows(OfHeads):
    """Base of the interventions on attention to the previous token."""

    rows: Rows = field(default="all", metadata=ADDED)
    """Which tokens' attention: that of `all`, or of `labels` alone."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_choice(self, Rows, "rows")

    def check(self, model: ModelConfig) -> None:
        """Also refuse label rows of the last layer, of which the query's alone is read."""
        if self.rows == "labels" and model.n_layers - 1 in self.by_layer(model):
            raise UsageError(
                f"{type(self).__name__}: nothing reads the labels' attention in the last layer "
                f"({model.n_layers - 1}); choose heads of another, or rows all"
            )

    def own_rows(self, n_rows: int, value: Tensor) -> Tensor:
        """Which tokens' rows (T,) are its own; the first token has no other before it."""
        own = torch.ones(n_rows, dtype=torch.bool, device=value.device)
        if self.rows == "labels":
            own[::2] = False
        return own


@INTERVENTIONS.register("PreviousToken")
@dataclass(frozen=True, kw_only=True)
class PreviousToken(OfRows):
    """Tokens attend to the one before them by `strength`, to themselves by the rest."""

    strength: float = field(default=1.0, metadata=ADDED)
    activation = "pattern"

    def __post_init__(self) -> None:
        super().__post_init__()
        strength_error("PreviousToken", self.strength)

    def sets(self, model: ModelConfig) -> frozenset[str]:
        """Its heads' patterns."""
        return self._patterns(model)

    def act(self, site: str, value: Tensor, scene: Scene) -> Tensor:
        """Its rows."""
        n_rows, n_tokens = value.shape[2:4]
        one = torch.eye(n_tokens, dtype=value.dtype, device=value.device)
        rows = (1 - self.strength) * one + self.strength * one.roll(-1, 1)  # row t: 1 at t - 1
        rows = torch.cat([one[:1], rows[1:]])
        own = self.own_rows(n_tokens, value)[-n_rows:].view(-1, 1, 1)
        changed = torch.where(own, rows[-n_rows:].unsqueeze(-1), value)
        return self.on_heads(site, value, changed, scene.config)
