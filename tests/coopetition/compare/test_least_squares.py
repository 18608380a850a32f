"""Least squares from many starts."""

import numpy as np

from coopetition.compare.least_squares import minimise


def test_minimise_reaches_known_minima_within_bounds():
    """Rosenbrock's valley, and the same with its minimum cut off by a bound."""

    def residuals(points):
        x, y = points.T
        return np.stack([10 * (y - x**2), 1 - x], axis=1)

    starts = np.random.default_rng(0).uniform(-2, 2, (6, 2))
    lower, upper = np.full(2, -2.0), np.full(2, 2.0)
    free = minimise(residuals, starts, lower, upper, max_iterations=300, tolerance=1e-12)
    np.testing.assert_allclose(free.points, 1, atol=1e-4)
    assert np.all(np.diff(free.costs) >= 0)
    cut = minimise(residuals, starts, lower, np.array([0.5, 2.0]), max_iterations=300)
    np.testing.assert_allclose(cut.points[0], [0.5, 0.25], atol=1e-3)
    assert (cut.points <= [0.5, 2.0]).all()
