"""Fewer features of one scale: principal components, mean removed."""

from dataclasses import dataclass

import torch
from torch import Tensor

from coopetition.tools.errors import UsageError
from transformer.config.plain import require, require_at_least
from transformer.data.moments import Chunks, covariance_of, mean_of, variance_of


@dataclass(frozen=True, slots=True, kw_only=True)
class ReductionConfig:
    """What is done to features before they are written."""

    components: int = 512
    """Principal components to keep; 0: all features as they are."""
    centre: bool = True
    """Whether the mean over all drawings is removed."""
    scale: float = 1.0
    """Standard deviation of an entry afterwards, over all drawings and entries: one factor for
    all; 0: the features' own."""

    def __post_init__(self) -> None:
        require_at_least(self, 0, "components", "scale")
        half = torch.finfo(torch.float16)
        require(
            self.scale == 0 or half.tiny <= self.scale <= half.max,
            f"scale={self.scale:g} is beyond half precision; choose 0, or {half.tiny:.1g} to "
            f"{half.max:g}",
        )


@dataclass(frozen=True, slots=True)
class Reduction:
    """An affine map of features, `(x - shift) @ map * factor`."""

    shift: Tensor
    map: Tensor | None
    """(d_features, components), orthonormal columns; None: the identity."""
    factor: float
    kept_variance: float
    """The share of the variance that is left."""

    @property
    def d_features(self) -> int:
        """How many it leaves."""
        return len(self.shift) if self.map is None else self.map.shape[1]

    def __call__(self, features: Tensor) -> Tensor:
        """Reduced features (n, d) of features (n, d_features)."""
        centred = features - self.shift
        return (centred if self.map is None else centred @ self.map) * self.factor


def check_components(config: ReductionConfig, d_features: int) -> None:
    """Raise `UsageError` for more components than there are features."""
    if config.components > d_features:
        raise UsageError(
            f"components={config.components} is more than the encoder's {d_features} features; "
            "choose at most so many, or 0 for all as they are"
        )


def fit_reduction(chunks: Chunks, config: ReductionConfig) -> Reduction:
    """The reduction of vectors that a config asks for, in float64.

    The largest entry of each component is positive, so that its sign does not depend on the
    machine.  More components than features, and features that are all alike, raise `UsageError`.
    """
    mean = mean_of(chunks)
    check_components(config, len(mean))
    if config.components:
        variances, directions = torch.linalg.eigh(covariance_of(chunks, mean))
        directions = directions[:, -config.components :].flip(1).contiguous()
        largest = directions.gather(0, directions.abs().argmax(0, keepdim=True))
        directions = directions * largest.sign()
        kept = variances[-config.components :].sum().item()
    else:
        variances, directions = variance_of(chunks, mean), None
        kept = variances.sum().item()
    if not kept > 0:
        raise UsageError("the features of all drawings are alike; choose another encoder or image")
    entries = config.components or len(mean)
    factor = config.scale / (kept / entries) ** 0.5 if config.scale else 1.0
    shift = mean if config.centre else torch.zeros_like(mean)
    return Reduction(shift, directions, factor, kept / variances.sum().item())
