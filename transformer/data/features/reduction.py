"""Reduction of features to principal components."""

from dataclasses import dataclass

import torch
from torch import Tensor

from coopetition.tools.errors import UsageError
from transformer.config.encoders import ReductionConfig
from transformer.data.features.moments import Chunks, mean_and_covariance


@dataclass(frozen=True, slots=True)
class Reduction:
    """An affine map of features, `(x - shift) @ map * factor`."""

    shift: Tensor
    map: Tensor | None
    """(d_features, components), orthonormal columns; None: the identity."""
    factor: float
    kept_variance: float
    """Share of the variance that the components keep."""

    def __call__(self, features: Tensor) -> Tensor:
        """Return reduced features (n, d) of features (n, d_features)."""
        centred = features - self.shift
        return (centred if self.map is None else centred @ self.map) * self.factor


def check_components(config: ReductionConfig, d_features: int) -> None:
    """Raise `UsageError` for more components than features."""
    if config.components > d_features:
        raise UsageError(
            f"components={config.components} is more than the encoder's {d_features} features; "
            "choose at most that many, or 0 for all as they are"
        )


def fit_reduction(chunks: Chunks, config: ReductionConfig) -> Reduction:
    """Return the reduction of vectors that a config describes, in float64.

    The largest entry of each component is positive, so that its sign does not depend on the
    machine.  Features that are all alike raise `UsageError`.
    """
    mean, covariance = mean_and_covariance(chunks)
    directions, kept = None, covariance.trace().item()
    if config.components:
        variances, directions = torch.linalg.eigh(covariance)
        directions = directions[:, -config.components :].flip(1).contiguous()
        largest = directions.gather(0, directions.abs().argmax(0, keepdim=True))
        directions = directions * largest.sign()
        kept = variances[-config.components :].sum().item()
    if not kept > 0:
        raise UsageError("the features of all drawings are alike; choose another encoder or image")
    deviation = (kept / (config.components or len(mean))) ** 0.5
    factor = config.scale / deviation if config.scale else 1.0
    shift = mean if config.centre else torch.zeros_like(mean)
    return Reduction(shift, directions, factor, kept / covariance.trace().item())
