"""Separation of classes by exemplars: the criterion for choosing an encoder."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from transformer.data.exemplar_sets import Exemplars
from transformer.data.features.moments import mean_and_covariance

CHUNK = 8192  # exemplars at once
N_CANDIDATES = 1600  # classes whose centroids are compared: Omniglot's upright characters
CANDIDATE_CHUNK = 64  # classes whose exemplars are compared with the centroids at once


@dataclass(frozen=True, slots=True)
class Separation:
    """Measures of a set of exemplars; None if there are too few."""

    d_features: int
    within_between: float | None
    """Variance within classes, divided by the variance between them.

    The first is the sum of squares about class means over its degrees of freedom.  The second is
    the variance of class means minus the contribution of the first; it can be negative.
    """
    nearest_centroid: float | None
    """Share of held-out exemplars, a quarter of each class, that are nearer to the mean of the rest
    of their class than to that of any other of `n_candidates` classes."""
    n_candidates: int
    participation_ratio: float
    """``(sum of variances)^2 / sum of squares`` of the principal variances: the effective number
    of directions."""


def separation(exemplars: Exemplars) -> Separation:
    """Return measures of exemplars, computed in float64."""
    n_classes, n_exemplars = exemplars.n_classes, exemplars.n_exemplars
    per_chunk = max(1, CHUNK // n_exemplars)

    def classes() -> Iterator[Tensor]:
        index = torch.arange(n_classes * n_exemplars).view(n_classes, n_exemplars)
        for part in index.split(per_chunk):
            yield exemplars.features(part, torch.float64)

    def chunks() -> Iterator[Tensor]:
        return (each.flatten(0, 1) for each in classes())

    mean, covariance = mean_and_covariance(chunks)
    total, squares = covariance.trace(), covariance.square().sum()
    return Separation(
        d_features=exemplars.d_features,
        within_between=_within_between(classes, mean, n_classes, n_exemplars),
        nearest_centroid=_nearest_centroid(exemplars, mean),
        n_candidates=min(n_classes, N_CANDIDATES),
        participation_ratio=(total**2 / squares).item() if squares > 0 else 0.0,
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
