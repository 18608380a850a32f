"""Mean and covariance of more vectors than fit into memory at double precision."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

Chunks = Callable[[], Iterable[Tensor]]
"""Starts to give the vectors anew, some (n, d) in float64 at a time."""


def mean_of(chunks: Chunks) -> Tensor:
    """The mean (d,)."""
    total, n = torch.zeros((), dtype=torch.float64), 0
    for chunk in chunks():
        total = total + chunk.sum(0)
        n += len(chunk)
    return total / n


def covariance_of(chunks: Chunks, mean: Tensor) -> Tensor:
    """The covariance (d, d) about the mean, by the number of vectors."""
    total, n = torch.zeros(len(mean), len(mean), dtype=torch.float64), 0
    for chunk in chunks():
        centred = chunk - mean
        total.addmm_(centred.T, centred)
        n += len(chunk)
    return total / n


def variance_of(chunks: Chunks, mean: Tensor) -> Tensor:
    """The variances (d,): the diagonal of the covariance."""
    total, n = torch.zeros_like(mean), 0
    for chunk in chunks():
        total += (chunk - mean).square_().sum(0)
        n += len(chunk)
    return total / n
