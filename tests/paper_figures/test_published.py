"""The published draws of the minimal model."""

import numpy as np
import pytest

from coopetition import published_draw, read_draw, two_strategies
from coopetition.model.presets import PUBLISHED_SEEDS
from coopetition.model.reduced import Problem
from tests.conftest import SHARED


def test_published_draws_are_the_ones_given_out():
    path = SHARED / "reference" / "minimal_model_draws.npz"
    if not path.exists():
        pytest.skip(f"no published draws at {path}")
    for seed in PUBLISHED_SEEDS:
        found = Problem(two_strategies(), read_draw(path, seed)).start
        expected = Problem(two_strategies(), published_draw(seed)).start
        np.testing.assert_allclose(found.entries, expected.entries, rtol=1e-12)
