"""A frozen network that makes features of drawings, and the images that it sees."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from coopetition.tools.errors import UsageError
from coopetition.tools.files import check_readable
from transformer.config.encoders import EncoderConfig

HASH_DIGITS = 16
CPU = torch.device("cpu")


@dataclass(frozen=True, slots=True)
class Encoder:
    """A network with its weights, on a device."""

    features: Callable[[Tensor], Tensor]
    """Features (n, d_features) of images (n, channels, side, side)."""
    d_features: int
    weights: str
    """Which they are: the first digits of the SHA-256 of their file."""
    device: torch.device = CPU


def weights_file(weights: str, expected: str) -> Path:
    """The file that `weights` names; `UsageError`, with what is `expected`, if it is none."""
    if not weights:
        raise UsageError(f"no weights are given; give --encoder.weights; {expected}")
    check_readable(Path(weights), f"give --encoder.weights; {expected}")
    return Path(weights)


def hash_of(path: Path) -> str:
    """The first digits of a file's SHA-256."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:HASH_DIGITS]


def images_of(pixels: Tensor, config: EncoderConfig) -> Tensor:
    """Images (n, channels, side, side) as an encoder sees them, of drawings.

    `pixels` (n, height, width) are uint8, 255 = ink.
    """
    ink = pixels[:, None] / 255
    grey = 1 - ink if config.ink == "dark" else ink
    size = (config.side, config.side)
    resized = F.interpolate(grey, size, mode="bilinear", align_corners=False, antialias=True)
    mean = torch.tensor(config.mean, device=ink.device).view(-1, 1, 1)
    std = torch.tensor(config.std, device=ink.device).view(-1, 1, 1)
    # convolutions on a CPU are faster with channels last
    return ((resized - mean) / std).contiguous(memory_format=torch.channels_last)
