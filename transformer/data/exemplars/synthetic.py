"""Gaussian exemplars: vectors whose classes overlap as much as one likes, and nothing else.

One-hot exemplars: classes that share nothing, and do not vary.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from coopetition.tools.console import ProgressReport
from transformer.config.data import EXEMPLAR_KINDS, ExemplarConfig
from transformer.config.plain import require_at_least
from transformer.data.exemplar_sets import Exemplars
from transformer.data.exemplars.arrays import convert

CHUNK = 256  # classes drawn at once: enough for speed, and memory stays small


@EXEMPLAR_KINDS.register("gaussian")
@dataclass(frozen=True, slots=True, kw_only=True)
class GaussianConfig(ExemplarConfig):
    """Each class a normal vector, each exemplar that vector plus noise.

    Coordinate k = 1, 2, ... has variance proportional to k ** -spectrum, with mean 1 over the
    coordinates, in classes and in noise alike (there times noise ** 2).
    """

    may_be_images = False
    bytes_per_feature = 2
    n_classes: int = 1600
    n_exemplars: int = 20
    d_features: int = 64
    seed: int = 0
    noise: float = 0.5
    """Standard deviation within a class, in units of that between classes."""
    spectrum: float = 0.0
    """0: all coordinates alike."""

    def __post_init__(self) -> None:
        require_at_least(self, 1, "n_classes", "n_exemplars", "d_features")
        require_at_least(self, 0, "seed", "noise", "spectrum")

    def feature_count(self) -> int:
        """`d_features`."""
        return self.d_features

    def load(self) -> Exemplars:
        """Draw them."""
        return Exemplars(draw_gaussian(self), 1.0)


def draw_gaussian(config: GaussianConfig) -> torch.Tensor:
    """Vectors float16 (n_classes, n_exemplars, d_features), a function of the config alone.

    Exemplar i of class k is ``s * (c[k] + noise * e[k, i])`` with standard normal c and e, and
    ``s[j] ** 2`` proportional to ``(j + 1) ** -spectrum`` with mean 1.  It is the same whatever
    `n_classes` and `n_exemplars` are.

    Half precision moves a value by at most 1 part in 2,048, which adds less than a thousandth of
    the classes' spread to the noise: harmless where noise is above 0.01, but noise below 0.001 is
    rounded away.  Noise that leaves half precision (about 10,000) raises `UsageError`.
    """
    scale = coordinate_scales(config.d_features, config.spectrum)
    shape = (config.n_classes, config.n_exemplars, config.d_features)
    vectors = torch.empty(shape, dtype=torch.float16)
    with ProgressReport("draw vectors", config.n_classes, "classes") as progress:
        for start in range(0, config.n_classes, CHUNK):
            rows = vectors[start : start + CHUNK]
            # exemplar after exemplar, so that more of them, or fewer classes, change none
            rng = np.random.default_rng([config.seed, start // CHUNK])
            centres = rng.standard_normal((CHUNK, config.d_features), np.float32)
            for i in range(config.n_exemplars):
                noise = rng.standard_normal((CHUNK, config.d_features), np.float32)
                drawn = torch.from_numpy(scale * (centres + np.float32(config.noise) * noise))
                rows[:, i] = convert(drawn[: len(rows)], rows.dtype, f"noise={config.noise:g}")
            progress.advance(len(rows))
    return vectors


def coordinate_scales(d_features: int, spectrum: float) -> NDArray[np.float32]:
    """Standard deviation of each coordinate (d_features,): a power law of mean square 1."""
    scale = np.arange(1, d_features + 1) ** (-spectrum / 2)
    return (scale / np.sqrt(np.mean(scale**2))).astype(np.float32)


@EXEMPLAR_KINDS.register("one_hot")
@dataclass(frozen=True, slots=True, kw_only=True)
class OneHotConfig(ExemplarConfig):
    """Each class a unit vector of its own, with one exemplar."""

    may_be_images = False
    n_classes: int = 1600

    def __post_init__(self) -> None:
        require_at_least(self, 1, "n_classes")

    @property
    def n_exemplars(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        """One."""
        return 1

    def feature_count(self) -> int:
        """As many as classes."""
        return self.n_classes

    def load(self) -> Exemplars:
        """The unit vectors."""
        return Exemplars(torch.eye(self.n_classes, dtype=torch.uint8)[:, None], 1.0)
