"""Synthetic exemplars: Gaussian classes that overlap, and one-hot classes that share nothing."""

from dataclasses import dataclass

import numpy as np

from coopetition.tools.console import ProgressReport
from transformer.config.data import EXEMPLAR_KINDS, ExemplarConfig
from transformer.config.plain import require_at_least
from transformer.data.exemplar_sets import Exemplars
from transformer.data.exemplars.arrays import convert

CHUNK = 256  # classes drawn at once: fast, and memory stays small


@EXEMPLAR_KINDS.register("gaussian")
@dataclass(frozen=True, slots=True, kw_only=True)
class GaussianConfig(ExemplarConfig):
    """A class is a normal vector, an exemplar that vector plus noise.

    Coordinate k = 1, 2, ... has a variance proportional to k ** -spectrum, with mean 1 over the
    coordinates for class vectors and noise ** 2 for noise.
    """

    may_be_images = False
    bytes_per_feature = 2
    n_classes: int = 1600
    n_exemplars: int = 20
    d_features: int = 64
    seed: int = 0
    """Random seed of the classes and their exemplars."""
    noise: float = 0.5
    """Standard deviation within a class, in units of the one between classes."""
    spectrum: float = 0.0
    """Exponent of the variances; 0: all coordinates alike."""

    def __post_init__(self) -> None:
        require_at_least(self, 1, "n_classes", "n_exemplars", "d_features")
        require_at_least(self, 0, "seed", "noise", "spectrum")

    def feature_count(self) -> int:
        """Return `d_features`."""
        return self.d_features

    def load(self) -> Exemplars:
        """Draw vectors in half precision.

        Exemplar i of class k is ``s * (c[k] + noise * e[k, i])`` with standard normal c and e, and
        ``s[j] ** 2`` proportional to ``(j + 1) ** -spectrum`` with mean 1.  It does not depend on
        `n_classes` and `n_exemplars`.

        Half precision rounds to 1 part in 2,048.  This is harmless for noise above 0.01, but
        removes noise below 0.001.  Noise beyond half precision (about 10,000) raises `UsageError`.
        """
        import torch

        scale = np.arange(1, self.d_features + 1) ** (-self.spectrum / 2)
        scale = (scale / np.sqrt(np.mean(scale**2))).astype(np.float32)  # mean square 1
        shape = (self.n_classes, self.n_exemplars, self.d_features)
        vectors = torch.empty(shape, dtype=torch.float16)
        with ProgressReport("draw vectors", self.n_classes, "classes") as progress:
            for start in range(0, self.n_classes, CHUNK):
                rows = vectors[start : start + CHUNK]
                # one exemplar after the other, so that the number of exemplars changes none
                rng = np.random.default_rng([self.seed, start // CHUNK])
                centres = rng.standard_normal((CHUNK, self.d_features), np.float32)
                for i in range(self.n_exemplars):
                    noise = rng.standard_normal((CHUNK, self.d_features), np.float32)
                    drawn = torch.from_numpy(scale * (centres + np.float32(self.noise) * noise))
                    rows[:, i] = convert(drawn[: len(rows)], rows.dtype, f"noise={self.noise:g}")
                progress.advance(len(rows))
        return Exemplars(vectors, 1.0)


@EXEMPLAR_KINDS.register("one_hot")
@dataclass(frozen=True, slots=True, kw_only=True)
class OneHotConfig(ExemplarConfig):
    """Each class is a unit vector of its own, with one exemplar."""

    may_be_images = False
    n_classes: int = 1600

    def __post_init__(self) -> None:
        require_at_least(self, 1, "n_classes")

    @property
    def n_exemplars(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        """One."""
        return 1

    def feature_count(self) -> int:
        """Return the number of classes."""
        return self.n_classes

    def load(self) -> Exemplars:
        """Return the unit vectors."""
        return Exemplars.from_numpy(np.eye(self.n_classes, dtype=np.uint8)[:, None], 1.0)
