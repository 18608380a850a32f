"""The published draws of the minimal model."""

import numpy as np
import pytest

from coopetition import read_draw, two_strategies
from coopetition.model.problem import project
from paper_figures.published import SEEDS, published_draw
from tests.conftest import SHARED


def test_published_draws_are_the_ones_given_out():
    path = SHARED / "reference" / "minimal_model_draws.npz"
    if not path.exists():
        pytest.skip(f"no published draws at {path}")
    for seed in SEEDS:
        _, u, w = project(two_strategies(), read_draw(path, seed))
        _, expected_u, expected_w = project(two_strategies(), published_draw(seed))
        np.testing.assert_allclose(u, expected_u, rtol=1e-12)
        np.testing.assert_allclose(w, expected_w, rtol=1e-12)
