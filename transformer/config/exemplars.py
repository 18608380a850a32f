"""Which exemplars stand for the classes."""

from dataclasses import dataclass, field
from typing import Literal

from transformer.config.plain import (
    ADDED,
    LOCATION,
    require,
    require_at_least,
    require_choice,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class GlyphConfig:
    """Procedural handwriting: each class a stroke program, each exemplar a jittered drawing."""

    n_classes: int = 12800
    n_exemplars: int = 20
    seed: int = 0
    """Draws the classes and their exemplars."""
    jitter: float = 0.12
    """Standard deviation of an exemplar's control points, in units of the image side."""
    distortion: float = 0.25
    """Standard deviation of an exemplar's rotation (radians) and relative scales."""

    def __post_init__(self) -> None:
        require_at_least(self, 1, "n_classes", "n_exemplars")
        require_at_least(self, 0, "seed", "jitter", "distortion")


Layout = Literal["described", "released"]


@dataclass(frozen=True, slots=True, kw_only=True)
class OmniglotConfig:
    """Omniglot drawings of 1,600 characters in up to 8 orientations each; ink is 1, paper 0."""

    path: str = field(default="", metadata=LOCATION)
    """An `omniglot.npz` or the folder that holds `images_background` and `images_evaluation`."""
    n_classes: int = 12800
    """As described, the first 1,600 are the upright characters, each further 1,600 another
    orientation; as released, each character is 8 classes in a row."""
    n_exemplars: int = 20
    side: int = field(default=28, metadata=ADDED)
    """Pixels: 28, averaged and blurred once, or 105 as drawn."""
    layout: Layout = field(default="described", metadata=ADDED)
    """`described` in the papers: 20 drawings of one character in one orientation; `released`, what
    their extractor's index arithmetic gives: two drawings in all 8 orientations and a third in 4
    (classes 8 k to 8 k + 7 share character k)."""

    def __post_init__(self) -> None:
        require_at_least(self, 1, "n_classes", "n_exemplars")
        require_choice(self, Layout, "layout")
        require(self.side in (28, 105), f"side={self.side}; choose 28, or 105 as drawn")
        require(
            self.n_classes <= 12800,
            f"n_classes={self.n_classes} is more than Omniglot's 1,600 characters x 8 "
            "orientations; choose at most 12800",
        )
        require(
            self.n_exemplars <= 20,
            f"n_exemplars={self.n_exemplars} is more than Omniglot has; choose at most 20",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class GaussianConfig:
    """Each class a normal vector, each exemplar that vector plus noise.

    Coordinate k = 1, 2, ... has variance proportional to k ** -spectrum, with mean 1 over the
    coordinates, in classes and in noise alike (there times noise ** 2).
    """

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


@dataclass(frozen=True, slots=True, kw_only=True)
class OneHotConfig:
    """Each class a unit vector of its own, with one exemplar."""

    n_classes: int = 1600

    def __post_init__(self) -> None:
        require_at_least(self, 1, "n_classes")

    @property
    def n_exemplars(self) -> int:
        """One."""
        return 1


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureConfig:
    """Feature vectors from a file of the user, such as a frozen network's embeddings."""

    path: str = field(default="", metadata=LOCATION)
    """An .npy or .safetensors array (classes, exemplars, features): numbers, kept in half
    precision, or uint8, grey values 0 to 255 for 0 to 1."""
    key: str = ""
    """Name of the array in a .safetensors file that holds several."""
    n_classes: int = 12800
    """The first so many."""
    n_exemplars: int = 20
    fingerprint: str = ""
    """Of the features used; filled in when they are read, and checked if given."""

    def __post_init__(self) -> None:
        require_at_least(self, 1, "n_classes", "n_exemplars")


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenConfig:
    """Token embeddings of a language model, clustered into classes by k-means on their directions.

    Each class is a cluster with at least `n_exemplars` tokens, its exemplars the tokens nearest to
    its centre.  Classes are chosen, and ordered, so that each is the farthest from all before it
    (has the largest distance to the nearest of them); the first is the farthest from their mean.
    """

    path: str = field(default="", metadata=LOCATION)
    """An .npy or .safetensors matrix (tokens, features)."""
    key: str = ""
    """Name of the matrix in a .safetensors file that holds several."""
    n_classes: int = 1600
    n_exemplars: int = 10
    n_clusters: int = 0
    """Clusters that k-means makes; 0 for as many as classes and half as many again."""
    seed: int = 4
    """Of k-means (the paper: 4 and 5)."""
    fingerprint: str = ""
    """Of the features used; filled in when they are read, and checked if given."""

    def __post_init__(self) -> None:
        require_at_least(self, 1, "n_classes", "n_exemplars")
        require_at_least(self, 0, "n_clusters", "seed")
        require(
            self.n_clusters == 0 or self.n_clusters >= self.n_classes,
            f"n_clusters={self.n_clusters} is fewer than n_classes={self.n_classes}; "
            "choose more clusters, or 0",
        )


ExemplarConfig = (
    GlyphConfig | OmniglotConfig | GaussianConfig | OneHotConfig | FeatureConfig | TokenConfig
)
