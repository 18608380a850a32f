"""The row of the query in a pattern, set."""

import torch
from torch import Tensor


def on_labels(shares: Tensor) -> Tensor:
    """A row (R, T, B) that attends to labels by shares (R, C, B), and to nothing else."""
    nothing = torch.zeros_like(shares)
    return torch.cat([torch.stack([nothing, shares], 2).flatten(1, 2), nothing[:, :1]], 1)


def with_query_row(pattern: Tensor, row: Tensor) -> Tensor:
    """Patterns (R, H, Q, T, B) of which the query's row is (R, T, B), the same for all heads."""
    query = row[:, None, None].to(pattern).expand(-1, pattern.shape[1], -1, -1, -1)
    return torch.cat([pattern[:, :, :-1], query], 2)
