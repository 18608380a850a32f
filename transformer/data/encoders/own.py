"""A small convolutional network of our own, which `train-encoder` trains on procedural glyphs."""

from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from coopetition.tools.errors import UsageError
from transformer.config.encoders import ENCODERS, EncoderConfig, Ink
from transformer.config.plain import MACHINE_PATH
from transformer.data.encoders.base import Encoder, hash_of, weights_file

CHANNELS = (1, 32, 64, 128)  # of the image and after each 3 x 3 convolution
STRIDES = (2, 2, 1)
POOLED = 2  # side of the map of means that is left of the last feature map
D_FEATURES = CHANNELS[-1] * POOLED**2
EXPECTED = "expected a file of `python -m transformer train-encoder`"


@ENCODERS.register("own")
@dataclass(frozen=True, slots=True, kw_only=True)
class OwnConfig(EncoderConfig):
    """A small network of your own training (`train-encoder`, nothing to download): 512 features."""

    side: int = 28  # as it is trained
    mean: tuple[float] = (0.0,)
    std: tuple[float] = (1.0,)
    ink: Ink = "light"
    weights: str = field(default="", metadata=MACHINE_PATH)
    """The .safetensors file that `train-encoder` wrote."""

    def load(self, device: torch.device) -> Encoder:
        """The network; a file that holds something else raises `UsageError`."""
        path = weights_file(self.weights, EXPECTED)
        weights = {name: value.to(device) for name, value in read_weights(path).items()}

        def features(images: Tensor) -> Tensor:
            return own_features(weights, images)

        return Encoder(features, D_FEATURES, hash_of(path), device)


def own_features(weights: dict[str, Tensor], images: Tensor) -> Tensor:
    """Features (n, 512) of images (n, 1, side, side)."""
    x = images
    for layer, stride in enumerate(STRIDES):
        weight, bias = weights[f"conv.{layer}.weight"], weights[f"conv.{layer}.bias"]
        x = F.relu(F.conv2d(x, weight, bias, stride=stride, padding=1))
    return pooled(x)


def pooled(feature_map: Tensor) -> Tensor:
    """Means over the quarters of a feature map (n, channels, height, width), as (n, 512)."""
    return F.adaptive_avg_pool2d(feature_map, POOLED).flatten(1)


def shapes() -> dict[str, tuple[int, ...]]:
    """Shapes of the weights."""
    result: dict[str, tuple[int, ...]] = {}
    for layer, (inputs, outputs) in enumerate(pairwise(CHANNELS)):
        result[f"conv.{layer}.weight"] = (outputs, inputs, 3, 3)
        result[f"conv.{layer}.bias"] = (outputs,)
    return result


def read_weights(path: Path) -> dict[str, Tensor]:
    """The weights in a file; one that holds something else raises `UsageError`."""
    try:
        weights = load_file(path)
    except SafetensorError as error:
        line = " ".join(str(error).split())
        raise UsageError(f"{path} cannot be read as weights ({line}); {EXPECTED}") from error
    found = {name: tuple(value.shape) for name, value in weights.items()}
    if found != shapes():
        raise UsageError(f"{path} holds other arrays than the network has; {EXPECTED}")
    return {name: value.float() for name, value in weights.items()}
