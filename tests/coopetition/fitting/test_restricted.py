"""The noise of standard errors is that of the largest restricted likelihood."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import approx_fprime

from coopetition.fitting.identifiability import find_directions, standard_deviations
from coopetition.fitting.restricted import (
    Linearised,
    linearise,
    products_of,
    restricted_deviance,
    restricted_noise,
    whitened_jacobian,
)
from tests.benchmarks.recovery import measure_coverage, recover

CHEAP = ("logistic_race", "spline", "bayesian_mixture")


def random_curves(rng, n_curves, n_theta, n_levels):
    return [
        Linearised(
            *(rng.standard_normal((n, k)) for k in (n_theta, n_levels)), rng.standard_normal(n)
        )
        for n in rng.integers(12, 30, n_curves)
    ]


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**16), st.integers(1, 3), st.integers(1, 4), st.booleans())
def test_the_restricted_likelihood_is_that_of_dense_matrices(seed, n_curves, n_theta, is_common):
    """Up to a constant; with its derivatives.  Curves with one noise have no levels."""
    rng = np.random.default_rng(seed)
    n_levels = 0 if is_common else 2
    curves = random_curves(rng, n_curves, n_theta, n_levels)
    n, products = np.array([len(each.residual) for each in curves]), products_of(curves)
    n_noises = 1 if is_common else n_curves
    groups = [0] if is_common else np.arange(n_curves)
    sums = [np.add.reduceat(each, groups) for each in (products, n, np.ones(n_curves, int))]

    def dense(x):
        size = n.sum()
        covariance = np.zeros((size, size))
        design = np.zeros((size, n_theta + n_levels * n_curves))
        ends = np.cumsum(n)
        noise = np.resize(x.reshape(-1, 2), (n_curves, 2))
        for k, (curve, (log_sigma, phi)) in enumerate(zip(curves, noise, strict=True)):
            own = slice(ends[k] - n[k], ends[k])
            lag = np.abs(np.subtract.outer(np.arange(n[k]), np.arange(n[k])))
            covariance[own, own] = np.exp(2 * log_sigma) * np.sin(phi) ** lag
            design[own, :n_theta] = curve.by_theta
            levels = slice(n_theta + n_levels * k, n_theta + n_levels * (k + 1))
            design[own, levels] = curve.by_levels
        r = np.concatenate([curve.residual for curve in curves])
        inverse = np.linalg.inv(covariance)
        information, b = design.T @ inverse @ design, design.T @ inverse @ r
        determinants = np.linalg.slogdet(covariance)[1] + np.linalg.slogdet(information)[1]
        return determinants + r @ inverse @ r - b @ np.linalg.solve(information, b)

    points = np.stack([rng.uniform(-1, 1, 2 * n_noises), rng.uniform(0.05, 1.2, 2 * n_noises)])
    found = [restricted_deviance(x, *sums) for x in points]
    assert found[0][0] - found[1][0] == pytest.approx(dense(points[0]) - dense(points[1]), abs=1e-6)
    numerical = approx_fprime(points[0], lambda x: restricted_deviance(x, *sums)[0], 1e-7)
    np.testing.assert_allclose(found[0][1], numerical, rtol=1e-3, atol=1e-2)


def test_noise_is_less_biased_than_at_the_maximum_of_the_likelihood():
    """40 problems of three curves, whose correlation is one half."""
    usual, restricted = [], []
    for _, found in recover("logistic_race", 40, n_screened=256, n_starts=2):
        usual += [noise.rho for noise in found.problem.noise.values()]
        curves = linearise(found.problem, found.theta)
        restricted += [noise.rho for noise in restricted_noise(found.problem, curves)]
    assert abs(np.mean(restricted) - 0.5) < 0.03 < 0.5 - np.mean(usual)


def test_known_noise_gives_the_usual_standard_errors(race_fit):
    """Those of the variable projection, for the noise of the problem; no floor is 0."""
    problem, names = race_fit.problem, [free.name for free in race_fit.problem.free]
    jacobian = whitened_jacobian(linearise(problem, race_fit.theta), problem.noise.values())
    own, projected = (
        standard_deviations(find_directions(each, names), names)
        for each in (jacobian, problem.residuals_and_jacobian(race_fit.theta)[1])
    )
    np.testing.assert_allclose(own, projected, rtol=0.05)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", CHEAP)
def test_first_order_intervals_hold_nine_in_ten(name):
    """200 problems; 0.87 to 0.93 of identifiable parameters, within a standard error of 0.01."""
    coverage, n = measure_coverage(recover(name, 200, n_screened=512, n_starts=8))
    assert n > 200 and 0.86 <= coverage <= 0.94
