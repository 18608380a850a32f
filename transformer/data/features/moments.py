"""Mean and covariance of vectors that do not fit into memory in double precision."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

Chunks = Callable[[], Iterable[Tensor]]
"""Iterates over all vectors, as chunks (n, d) in float64."""


def mean_and_covariance(chunks: Chunks) -> tuple[Tensor, Tensor]:
    """Return the mean (d,) and the covariance (d, d), divided by the number of vectors.

    The chunks are read twice.
    """
    mean = torch.zeros((), dtype=torch.float64)
    n = 0
    for chunk in chunks():
        mean = mean + chunk.sum(0)
        n += len(chunk)
    mean = mean / n
    covariance = torch.zeros(len(mean), len(mean), dtype=torch.float64)
    for chunk in chunks():
        centred = chunk - mean
        covariance.addmm_(centred.T, centred)
    return mean, covariance / n
