"""How well exemplars separate classes, against plain loops and known cases."""

import numpy as np
import pytest
import torch

from transformer.data.exemplar_sets import Exemplars
from transformer.data.features import separation as module
from transformer.data.features.separation import separation


def exemplars_of(n_classes, n_exemplars, d, noise):
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((n_classes, 1, d)) + 2
    x = centres + noise * rng.standard_normal((n_classes, n_exemplars, d))
    return Exemplars(torch.from_numpy(x).float(), 1.0)


@pytest.mark.parametrize("chunk", [10, 8192])
def test_against_plain_loops(monkeypatch, chunk):
    monkeypatch.setattr(module, "CHUNK", chunk)
    monkeypatch.setattr(module, "CANDIDATE_CHUNK", chunk)
    exemplars = exemplars_of(40, 6, 5, noise=0.8)
    x = exemplars.values.double().numpy()
    measured = separation(exemplars)
    variances = np.linalg.eigvalsh(np.cov(x.reshape(-1, 5).T))
    ratio = variances.sum() ** 2 / (variances**2).sum()
    assert measured.participation_ratio == pytest.approx(ratio)
    centroids = x[:, :5].mean(1)  # one of six is held out
    right = [np.linalg.norm(centroids - x[k, 5], axis=1).argmin() == k for k in range(40)]
    assert measured.nearest_centroid == pytest.approx(np.mean(right))
    assert 0.1 < np.mean(right) < 0.9


def test_the_ratio_of_variances_is_that_of_the_process():
    """The variance between classes is 1, within them 0.64: 400 classes give it within 20 %.

    The estimate's relative standard deviation is 3.9 %: (2 / 1995)**0.5 x 1.107 of the variance
    between, (2 / 10000)**0.5 of that within.  The false-alarm rate is below 1e-6.
    """
    measured = separation(exemplars_of(400, 6, 5, noise=0.8))
    assert measured.within_between == pytest.approx(0.64, rel=0.2)


def test_classes_that_are_points_are_separated():
    measured = separation(exemplars_of(30, 4, 8, noise=0))
    assert measured.within_between == pytest.approx(0, abs=1e-9)
    assert (measured.nearest_centroid, measured.n_candidates) == (1, 30)


def test_a_distance_from_the_origin_changes_nothing():
    """Squares of such features have more digits than float32."""
    near = Exemplars((exemplars_of(40, 6, 5, noise=0.8).values * 64).round(), 1.0)
    far = Exemplars(near.values + 2**17, 1.0)
    assert separation(far).nearest_centroid == separation(near).nearest_centroid


def test_the_nearest_centroid_is_one_of_the_first_classes(monkeypatch):
    monkeypatch.setattr(module, "N_CANDIDATES", 7)
    exemplars = exemplars_of(20, 4, 3, noise=0.5)
    first = Exemplars(exemplars.values[:7], 1.0)
    assert separation(exemplars).nearest_centroid == separation(first).nearest_centroid


@pytest.mark.parametrize(("n_classes", "n_exemplars"), [(1, 4), (4, 1)])
def test_what_cannot_be_measured_is_none(n_classes, n_exemplars):
    measured = separation(exemplars_of(n_classes, n_exemplars, 3, noise=1))
    assert measured.within_between is None
    assert (measured.nearest_centroid is None) == (n_exemplars == 1)
    alike = Exemplars(torch.ones(n_classes, n_exemplars, 2), 1.0)
    assert separation(alike).participation_ratio == 0
