"""A small convolutional network, which `train-encoder` trains on procedural glyphs."""

from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors import SafetensorError

from coopetition.tools.errors import UsageError
from transformer.config.encoders import ENCODERS, EncoderConfig, Ink
from transformer.config.plain import (
    MACHINE_PATH,
    difference,
    require,
    require_at_least,
    to_dict,
)
from transformer.data.encoders.base import Encoder, hash_of, weights_file
from transformer.data.exemplars.glyphs import GlyphConfig
from transformer.data.features.provenance import read_provenance

if TYPE_CHECKING:
    from torch import Tensor, device

CHANNELS = (1, 32, 64, 128)  # of the image, and after each 3 x 3 convolution
STRIDES = (2, 2, 1)
POOLED = 2  # side of the map to which the last feature map is averaged
D_FEATURES = CHANNELS[-1] * POOLED**2
EXPECTED = "expected a file of `python -m transformer train-encoder`"


@ENCODERS.register("own")
@dataclass(frozen=True, slots=True, kw_only=True)
class OwnConfig(EncoderConfig):
    """A small network that `train-encoder` trains, without a download: 512 features."""

    side: int = 28  # trained on this
    mean: tuple[float] = (0.0,)
    std: tuple[float] = (1.0,)
    ink: Ink = "light"
    weights: str = field(default="", metadata=MACHINE_PATH)
    """The .safetensors file that `train-encoder` wrote."""

    def load(self, device: "device") -> Encoder:
        """Return the network; a file that holds something else raises `UsageError`."""
        path = weights_file(self.weights, EXPECTED)
        weights = {name: value.to(device) for name, value in read_weights(path).items()}

        def features(images: "Tensor") -> "Tensor":
            return own_features(weights, images)

        return Encoder(features, D_FEATURES, hash_of(path), device)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingConfig:
    """How the small encoder is trained: cross-entropy over glyph classes, Adam."""

    glyphs: GlyphConfig = field(
        # Other glyphs than the runs', so that the encoder has not seen their classes, with less
        # jitter: with the runs' jitter, it separated Omniglot's classes less well than pixels do.
        default_factory=lambda: GlyphConfig(
            n_classes=800, seed=1_000_000, jitter=0.06, distortion=0.12
        )
    )
    n_steps: int = 1500
    """Training steps."""
    batch_size: int = 128
    """Drawings per step."""
    learning_rate: float = 2e-3
    """Initial learning rate; it falls to 0 as a half cosine."""
    seed: int = 0
    """Random seed of the initial weights and the order of drawings."""

    def __post_init__(self) -> None:
        require_at_least(self, 1, "n_steps", "batch_size")
        require_at_least(self, 0, "learning_rate", "seed")
        require(
            self.glyphs.n_exemplars >= 2,
            f"glyphs.n_exemplars={self.glyphs.n_exemplars}; choose at least 2, one is held out",
        )

    def difference_from(self, path: Path) -> str:
        """Return the first setting in which the training of a file's encoder differs, or "".

        A file that is missing or damaged raises `UsageError`.
        """
        found = read_provenance(path).get("training")
        return difference({"training": found}, {"training": to_dict(self, for_id=True)})


def own_features(weights: "dict[str, Tensor]", images: "Tensor") -> "Tensor":
    """Return features (n, 512) of images (n, 1, side, side)."""
    import torch.nn.functional as F

    x = images
    for layer, stride in enumerate(STRIDES):
        weight, bias = weights[f"conv.{layer}.weight"], weights[f"conv.{layer}.bias"]
        x = F.relu(F.conv2d(x, weight, bias, stride=stride, padding=1))
    return pooled(x)


def pooled(feature_map: "Tensor") -> "Tensor":
    """Return the means over the quarters of a feature map (n, channels, height, width)."""
    import torch.nn.functional as F

    return F.adaptive_avg_pool2d(feature_map, POOLED).flatten(1)


def shapes() -> dict[str, tuple[int, ...]]:
    """Return the shapes of the weights."""
    result: dict[str, tuple[int, ...]] = {}
    for layer, (inputs, outputs) in enumerate(pairwise(CHANNELS)):
        result[f"conv.{layer}.weight"] = (outputs, inputs, 3, 3)
        result[f"conv.{layer}.bias"] = (outputs,)
    return result


def read_weights(path: Path) -> "dict[str, Tensor]":
    """Return the weights in a file; a file that holds something else raises `UsageError`."""
    from safetensors.torch import load_file

    try:
        weights = load_file(path)
    except SafetensorError as error:
        line = " ".join(str(error).split())
        raise UsageError(f"{path} cannot be read as weights ({line}); {EXPECTED}") from error
    found = {name: tuple(value.shape) for name, value in weights.items()}
    if found != shapes():
        raise UsageError(f"{path} holds other arrays than the network has; {EXPECTED}")
    return {name: value.float() for name, value in weights.items()}
