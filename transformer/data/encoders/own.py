"""A small convolutional network, which `train-encoder` trains on procedural glyphs."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from transformer.config.encoders import ENCODERS, EncoderConfig, Ink
from transformer.config.plain import MACHINE_PATH, difference, require, require_at_least, to_dict
from transformer.data.encoders.base import Encoder, hash_of
from transformer.data.exemplars.glyphs import GlyphConfig
from transformer.data.features.provenance import read_provenance

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

    def load(self, device: Any) -> Encoder:
        """Return the network; a file that holds something else raises `UsageError`."""
        from safetensors.torch import load_file

        from transformer.data.features.networks import D_OWN, OwnNetwork, load_network

        network = load_network(OwnNetwork(), self.weights, load_file, EXPECTED).to(device)
        return Encoder(network, D_OWN, hash_of(Path(self.weights)), device)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingConfig:
    """Training of the small encoder: cross-entropy over glyph classes, Adam."""

    glyphs: GlyphConfig = field(
        # Other glyphs than the runs', so that the encoder has not seen their classes, with less
        # jitter: with the runs' jitter, it separated Omniglot's classes less well than pixels do.
        default_factory=lambda: GlyphConfig(
            n_classes=800, seed=1_000_000, jitter=0.06, distortion=0.12
        )
    )
    n_steps: int = 1500
    """Number of training steps."""
    batch_size: int = 128
    """Number of drawings per step."""
    learning_rate: float = 2e-3
    """Initial learning rate; it falls to 0 along a half cosine."""
    seed: int = 0
    """Random seed for the initial weights and the order of drawings."""

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
