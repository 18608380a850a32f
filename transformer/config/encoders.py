"""What a kind of frozen encoder is; each has its file in `transformer.data.encoders`."""

import math
from dataclasses import dataclass
from typing import Any, Literal

from transformer.config.plain import require, require_at_least, require_choice
from transformer.config.registry import RegisteredConfig, Registry

MAX_SIDE = 1024
Ink = Literal["dark", "light"]

ENCODERS: Registry[type["EncoderConfig"]] = Registry("encoder", "transformer.data.encoders")


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderConfig(RegisteredConfig):
    """Base of the kinds: frozen dataclasses that say what image their network sees.

    One whose weights are in a file of the user has a field `weights`, marked `MACHINE_PATH`.
    """

    registry = ENCODERS  # pyright: ignore[reportAssignmentType]
    side: int
    """Pixels of the side of the image; drawings are resized (bilinear, antialiased)."""
    mean: tuple[float, ...]
    """What is taken off a grey value of 0 to 1, for each channel of the image."""
    std: tuple[float, ...]
    """What it is divided by then."""
    ink: Ink = "dark"
    """`dark` on white paper, as in Omniglot's own files, or `light` on black."""

    def __post_init__(self) -> None:
        require_at_least(self, 1, "side")
        require(self.side <= MAX_SIDE, f"side={self.side}; choose at most {MAX_SIDE} pixels")
        require_choice(self, Ink, "ink")
        require(all(map(math.isfinite, self.mean)), f"mean={self.mean}; choose finite numbers")
        require(
            all(0 < each < math.inf for each in self.std),
            f"std={self.std}; choose finite numbers above 0",
        )

    def check_installed(self) -> None:
        """Raise `UsageError` if a package is missing that the network comes from."""

    def load(self, device: Any) -> Any:
        """The network on a `torch.device`: `transformer.data.encoders.base.Encoder`."""
        raise NotImplementedError
