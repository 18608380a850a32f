"""Exemplars: the drawings that stand for classes.  Each kind has its own file."""

import hashlib
from dataclasses import dataclass

import numpy as np
import torch

from transformer.config import ExemplarConfig, GlyphConfig


@dataclass(frozen=True, slots=True)
class Exemplars:
    """Features of every exemplar of every class.

    `pixels` is uint8 (n_classes, n_exemplars, d_features): grey values, 0 to 255 for 0 to 1.
    An exemplar's *index* is `class * n_exemplars + exemplar`.
    """

    pixels: torch.Tensor

    @property
    def n_classes(self) -> int:
        """Number of classes, and of labels."""
        return self.pixels.shape[0]

    @property
    def n_exemplars(self) -> int:
        """Drawings of each class."""
        return self.pixels.shape[1]

    @property
    def d_features(self) -> int:
        """Length of one exemplar's feature vector."""
        return self.pixels.shape[2]

    def features(self, index: torch.Tensor) -> torch.Tensor:
        """Feature vectors float32 (*index.shape, d_features) of the exemplars at `index`."""
        rows = self.pixels.view(-1, self.d_features).index_select(0, index.reshape(-1))
        return rows.to(torch.float32).mul_(1 / 255).view(*index.shape, self.d_features)

    def to(self, device: torch.device) -> "Exemplars":
        """The same exemplars on another device."""
        return Exemplars(self.pixels.to(device))

    def fingerprint(self) -> str:
        """A digest of every pixel; a run that is resumed checks it."""
        pixels = self.pixels.cpu().numpy()
        return hashlib.blake2b(np.ascontiguousarray(pixels).data, digest_size=8).hexdigest()


def load_exemplars(config: ExemplarConfig) -> Exemplars:
    """Exemplars of a config: drawn (glyphs) or read from the user's files (Omniglot)."""
    if isinstance(config, GlyphConfig):
        from transformer.exemplars.glyphs import draw_glyphs

        return Exemplars(torch.from_numpy(draw_glyphs(config)))
    from transformer.exemplars.omniglot import read_omniglot

    return Exemplars(torch.from_numpy(read_omniglot(config)))


__all__ = ["Exemplars", "load_exemplars"]
