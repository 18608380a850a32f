"""Frozen encoders of drawings: the base of their configs, and the reduction of their features."""

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from transformer.config.plain import require, require_at_least, require_choice
from transformer.config.registry import RegisteredConfig, Registry

MAX_SIDE = 1024
Ink = Literal["dark", "light"]

ENCODERS: Registry[type["EncoderConfig"]] = Registry("encoder", "transformer.data.encoders")
"""The encoders by name; `ENCODERS.register(NAME)` adds a class."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderConfig(RegisteredConfig):
    """Base of the encoders: frozen dataclasses that say what image the network sees.

    An encoder whose weights are in a file of the user has a field `weights`, marked `MACHINE_PATH`.
    """

    registry = ENCODERS  # pyright: ignore[reportAssignmentType]
    side: int
    """Side of the image in pixels; drawings are resized to it (bilinear, antialiased)."""
    mean: tuple[float, ...]
    """Mean that is subtracted from grey values (0 to 1), for each channel of the image."""
    std: tuple[float, ...]
    """Standard deviation by which grey values are then divided, for each channel."""
    ink: Ink = "dark"
    """Colour of the strokes: `dark` on white, as in Omniglot's own files, or `light` on black."""

    def __post_init__(self) -> None:
        require_at_least(self, 1, "side", most=MAX_SIDE)
        require_choice(self, Ink, "ink")
        require(all(map(math.isfinite, self.mean)), f"mean={self.mean}; choose finite numbers")
        require(
            all(0 < each < math.inf for each in self.std),
            f"std={self.std}; choose finite numbers above 0",
        )

    def check_installed(self) -> None:
        """Raise `UsageError` if a package that the network comes from is missing."""

    def load(self, device: Any) -> Any:
        """Return the network on a `torch.device`: `transformer.data.encoders.base.Encoder`."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True, kw_only=True)
class ReductionConfig:
    """Reduction of features before they are written."""

    components: int = 512
    """Number of principal components to keep; 0: all features as they are."""
    centre: bool = True
    """Whether to subtract the mean over all drawings."""
    scale: float = 1.0
    """Standard deviation of the reduced features over all drawings and entries (one factor for
    all); 0: leave the scale unchanged."""

    def __post_init__(self) -> None:
        require_at_least(self, 0, "components", "scale")
        least, most = float(np.finfo(np.float16).tiny), float(np.finfo(np.float16).max)
        require(
            self.scale == 0 or least <= self.scale <= most,
            f"scale={self.scale:g} is beyond half precision; choose 0, or {least:.1g} to {most:g}",
        )
