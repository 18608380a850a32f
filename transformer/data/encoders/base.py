"""Frozen networks that turn drawings into features, and the images that they see."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformer.config.encoders import EncoderConfig

if TYPE_CHECKING:
    from torch import Tensor

HASH_DIGITS = 16


@dataclass(frozen=True, slots=True)
class Encoder:
    """A network with its weights, on a device."""

    features: "Callable[[Tensor], Tensor]"
    """Returns features (n, d_features) of images (n, channels, side, side)."""
    d_features: int
    weights: str
    """Identity of the weights: the first digits of the SHA-256 of their file."""
    device: Any = "cpu"
    """A `torch.device`, or its name."""


def hash_of(path: Path) -> str:
    """Return the first digits of a file's SHA-256."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:HASH_DIGITS]


def images_of(pixels: "Tensor", config: EncoderConfig) -> "Tensor":
    """Return drawings as the images (n, channels, side, side) that an encoder sees.

    Parameters
    ----------
    pixels : (n, height, width) uint8, 255 = ink
    """
    import torch

    ink = pixels[:, None] / 255
    grey = 1 - ink if config.ink == "dark" else ink
    resized = torch.nn.functional.interpolate(
        grey,
        (config.side, config.side),
        mode="bilinear",
        align_corners=False,
        antialias=True,
    )
    mean = torch.tensor(config.mean, device=ink.device).view(-1, 1, 1)
    std = torch.tensor(config.std, device=ink.device).view(-1, 1, 1)
    # convolutions on a CPU are faster with channels last
    return ((resized - mean) / std).contiguous(memory_format=torch.channels_last)
