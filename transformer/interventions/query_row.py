"""The row of the query in a pattern, set."""

from dataclasses import dataclass

import torch
from torch import Tensor

from transformer.config import ModelConfig
from transformer.interventions.of_heads import OfHeads


def on_labels(shares: Tensor) -> Tensor:
    """A row (R, T, B) that attends to labels by shares (R, C, B), and to nothing else."""
    nothing = torch.zeros_like(shares)
    return torch.cat([torch.stack([nothing, shares], 2).flatten(1, 2), nothing[:, :1]], 1)


def with_query_row(pattern: Tensor, row: Tensor) -> Tensor:
    """Patterns (R, H, Q, T, B) of which the query's row is (R, T, B), the same for all heads."""
    query = row[:, None, None].to(pattern).expand(-1, pattern.shape[1], -1, -1, -1)
    return torch.cat([pattern[:, :, :-1], query], 2)


@dataclass(frozen=True, kw_only=True)
class OfQueryRow(OfHeads):
    """Base of the interventions that decide what the query attends to."""

    activation = "pattern"

    def sets(self, model: ModelConfig) -> frozenset[str]:
        """What its heads' query attends to."""
        return self.in_words("the query's attention", model)

    def hides(self, model: ModelConfig) -> frozenset[str]:
        """Its heads' scores in the last layer, where the query alone is computed."""
        last = f"blocks.{model.n_layers - 1}."
        return frozenset(
            each
            for each in self.of_own("q", "k", "attn_scores", model=model)
            if each.startswith(last)
        )
