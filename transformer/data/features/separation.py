"""Mean and covariance of more vectors than fit into memory at double precision.

How well exemplars tell their classes apart: what an encoder is chosen by.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from transformer.data.exemplar_sets import Exemplars

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


CHUNK = 8192  # exemplars at once
N_CANDIDATES = 1600  # classes among which the nearest centroid is looked for: Omniglot's upright
CANDIDATE_CHUNK = 64  # classes whose exemplars are compared with all centroids at once


@dataclass(frozen=True, slots=True)
class Separation:
    """Measures of a set of exemplars; None where there are too few for one."""

    d_features: int
    within_between: float | None
    """Variance within classes over that between them.

    Sums of squares about class means over their degrees of freedom, and the variance of class
    means less what within-class variance adds to it (it can be negative where classes are alike).
    """
    nearest_centroid: float | None
    """Share of held-out exemplars, a quarter of each class, that are nearest to the mean of their
    own class's others, among `n_candidates` classes."""
    n_candidates: int
    participation_ratio: float
    """``(sum of variances)^2 / sum of squares`` of the principal variances: how many directions
    the exemplars spread over."""
    mean_square: float
    """Of the mean, an entry."""
    variance: float
    """About it, an entry."""


def separation(exemplars: Exemplars) -> Separation:
    """Measure exemplars, in float64."""
    n_classes, n_exemplars = exemplars.n_classes, exemplars.n_exemplars
    per_chunk = max(1, CHUNK // n_exemplars)

    def classes() -> Iterator[Tensor]:
        index = torch.arange(n_classes * n_exemplars).view(n_classes, n_exemplars)
        for part in index.split(per_chunk):
            yield exemplars.features(part, torch.float64)

    def chunks() -> Iterator[Tensor]:
        return (each.flatten(0, 1) for each in classes())

    mean = mean_of(chunks)
    covariance = covariance_of(chunks, mean)
    total, squares = covariance.trace(), covariance.square().sum()
    return Separation(
        d_features=exemplars.d_features,
        within_between=_within_between(classes, mean, n_classes, n_exemplars),
        nearest_centroid=_nearest_centroid(exemplars, mean),
        n_candidates=min(n_classes, N_CANDIDATES),
        participation_ratio=(total**2 / squares).item() if squares > 0 else 0.0,
        mean_square=mean.square().mean().item(),
        variance=total.item() / len(mean),
    )


def _within_between(
    classes: Callable[[], Iterator[Tensor]], mean: Tensor, n_classes: int, n_exemplars: int
) -> float | None:
    if n_classes < 2 or n_exemplars < 2:
        return None
    within = between = 0.0
    for each in classes():
        centres = each.mean(1, keepdim=True)
        within += (each - centres).square().sum().item()
        between += (centres[:, 0] - mean).square().sum().item()
    within /= n_classes * (n_exemplars - 1)
    between = between / (n_classes - 1) - within / n_exemplars
    return within / between if between else None


def _nearest_centroid(exemplars: Exemplars, mean: Tensor) -> float | None:
    n_classes, n = min(exemplars.n_classes, N_CANDIDATES), exemplars.n_exemplars
    held_out = max(1, n // 4)
    if n < 2:
        return None

    def about_mean(index: Tensor) -> Tensor:
        return exemplars.features(index, torch.float64) - mean

    index = torch.arange(n_classes * n).view(n_classes, n)
    centroids = torch.stack([about_mean(k).mean(0) for k in index[:, : n - held_out]])
    half_squares = centroids.square().sum(1) / 2
    right = 0
    for number, of_class in enumerate(index[:, n - held_out :].split(CANDIDATE_CHUNK)):
        scores = about_mean(of_class) @ centroids.T - half_squares
        own = torch.arange(len(of_class)) + number * CANDIDATE_CHUNK
        right += (scores.argmax(-1) == own[:, None]).sum().item()
    return right / (n_classes * held_out)
