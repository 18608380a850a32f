"""Importance sampling finds known evidences and moments, also in curved and forked valleys.

Bounds on errors are five of their standard deviations, so that a test fails falsely once in a
million.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.special import ndtri
from scipy.stats import norm, truncnorm

from coopetition.fitting.importance import (
    Valley,
    _step,
    find_branches,
    resample,
    sample_by_importance,
)

ENOUGH = 2000.0
SIGMAS = 5


def sample(residuals_and_jacobian, starts, seed=0, max_calls=60_000):
    def log_likelihood(u) -> float:
        residuals = residuals_and_jacobian(u)[0]
        return float(-residuals @ residuals / 2)

    return sample_by_importance(
        log_likelihood,
        residuals_and_jacobian,
        np.array(starts, float),
        np.random.default_rng(seed),
        enough=ENOUGH,
        max_calls=max_calls,
    )


def check(drawn, evidence: float, of_points, mean: float, deviation: float) -> None:
    """Compare the evidence, and the mean of a function of the points, with what is known."""
    assert drawn.effective_sample_size > ENOUGH
    tolerance = SIGMAS / np.sqrt(drawn.effective_sample_size)
    assert drawn.log_evidence == pytest.approx(np.log(evidence), abs=tolerance)
    found = drawn.weights @ of_points(drawn.points.T)
    assert found == pytest.approx(mean, abs=tolerance * deviation)


@settings(deadline=None, max_examples=5)
@given(st.integers(1, 5), st.integers(0, 1000))
def test_a_normal_posterior_is_right(d, seed):
    rng = np.random.default_rng(seed)
    centre, deviations = rng.uniform(0.2, 0.8, d), 10 ** rng.uniform(-4, -1, d)

    def residuals_and_jacobian(u):
        return (u - centre) / deviations, np.diag(1 / deviations)

    drawn = sample(residuals_and_jacobian, [centre], seed)
    inside = norm.cdf(1, centre, deviations) - norm.cdf(0, centre, deviations)
    evidence = np.prod(inside * deviations * np.sqrt(2 * np.pi))
    # the search cuts a distribution off
    mean, deviation = truncnorm.stats(*((np.array([0, 1]) - centre[0]) / deviations[0]))
    mean, deviation = centre[0] + mean * deviations[0], np.sqrt(deviation) * deviations[0]
    check(drawn, evidence, lambda u: u[0], mean, deviation)


def test_a_thin_curved_valley_is_followed_to_its_ends():
    """The first two coordinates are free; the third is fixed by them, along a strong bend."""
    width = 1e-4

    def residuals_and_jacobian(u):
        x, y, s = u
        bottom = 0.5 + 0.4 * np.sin(6 * x) * y
        slopes = [-2.4 * np.cos(6 * x) * y, -0.4 * np.sin(6 * x), 1.0]
        return np.array([(s - bottom) / width]), np.array([slopes]) / width

    drawn = sample(residuals_and_jacobian, [[0.1, 0.2, 0.5]])
    evidence = width * np.sqrt(2 * np.pi)
    check(drawn, evidence, lambda u: u[0], 0.5, 12**-0.5)
    check(drawn, evidence, lambda u: u[0] * u[1], 0.25, 0.22)


def test_a_valley_with_two_bottoms_is_sampled_on_both():
    """At each y there are the bottoms 1/2 - h and 1/2 + h; the integrals over s are known."""
    width = 1e-4

    def half_distance(y):
        return 0.1 + 0.1 * y

    def residuals_and_jacobian(u):
        y, s = u
        away, h = s - 0.5, half_distance(y)
        slopes = [-2 * h * 0.1, 2 * away]
        return np.array([(away**2 - h**2) / width]), np.array([slopes]) / width

    starts = [[0.3, 0.5 + 0.13], [0.6, 0.5 - 0.16], [0.5, 0.5 + 0.15]]
    drawn = sample(residuals_and_jacobian, starts)
    of_y = lambda y: width * np.sqrt(2 * np.pi) / half_distance(y)  # noqa: E731  both bottoms
    evidence = quad(of_y, 0, 1)[0]
    check(drawn, evidence, lambda u: u[1] > 0.5, 0.5, 0.5)
    mean = quad(lambda y: y * of_y(y), 0, 1)[0] / evidence
    check(drawn, evidence, lambda u: u[0], mean, 12**-0.5)


def test_starts_on_bounds_do_not_hinder():
    """Optima of parameters that curves do not determine can lie on the bounds of the search."""

    def residuals_and_jacobian(u):
        return (u[:1] - 0.5) / 1e-3, np.eye(1, 8) / 1e-3

    drawn = sample(residuals_and_jacobian, [[0.5, *[1.0] * 7], [0.5, *[0.0] * 7]])
    check(drawn, 1e-3 * np.sqrt(2 * np.pi), lambda u: u[1], 0.5, 12**-0.5)


@pytest.mark.parametrize(("is_forked", "n_branches"), [(False, 1), (True, 2)])
def test_branches_are_counted(is_forked, n_branches):
    def residuals_and_jacobian(u):
        side = 1.0 if u[1] > 0.5 or not is_forked else -1.0
        bottom = 0.5 + side * (0.1 + 0.1 * u[0])
        return np.array([(u[1] - bottom) / 1e-3]), np.array([[-0.1 * side, 1.0]]) / 1e-3

    starts = ndtri([[0.2, 0.65], [0.4, 0.38], [0.6, 0.68], [0.8, 0.3], [0.9, 0.7]])
    valley = Valley(residuals_and_jacobian, starts[0])
    bottoms = [valley.bottom(each) for each in (*starts, *starts)]  # also with repetitions
    branches = find_branches(valley, bottoms)
    assert len(set(branches)) == n_branches
    upper = [True, False, True, False, True] if is_forked else [True] * 5
    assert [*(branches == branches[0])] == 2 * upper


def test_the_seed_decides_the_points():
    def residuals_and_jacobian(u):
        return (u - 0.5) / 0.1, np.eye(2) / 0.1

    one, two, other = (sample(residuals_and_jacobian, [[0.5, 0.5]], seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.points, two.points)
    assert (one.points[0] != other.points[0]).all()


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20).filter(lambda w: sum(w) > 0.1))
def test_resampling_repeats_each_as_its_weight_says(weights):
    shares = np.array(weights) / sum(weights)
    chosen = resample(np.random.default_rng(0), shares, 100)
    counts = np.bincount(chosen, minlength=len(shares))
    assert len(chosen) == 100 and (np.abs(counts - 100 * shares) < 1 + 1e-9).all()


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**16))
def test_a_bottom_has_the_precisions_and_slopes_of_its_jacobian(seed):
    """Those of the normal equations, with the prior; there, no step lowers the deviance."""
    rng = np.random.default_rng(seed)
    slopes = rng.standard_normal((12, 4)) * [1e3, 1.0, 1e2, 3.0]
    centre = rng.uniform(0.3, 0.7, 4)

    def residuals_and_jacobian(u):
        return slopes @ (u - centre), slopes

    valley = Valley(residuals_and_jacobian, ndtri(centre))
    bottom, s, y = valley.bottom(ndtri(centre)), valley.stiff, valley.loose
    assert {0, 2} <= {*s} and {*s, *y} == {0, 1, 2, 3}
    jacobian = slopes * norm.pdf(bottom.z)
    a = jacobian.T @ jacobian + np.eye(4)
    expected = -np.linalg.solve(a[np.ix_(s, s)], a[np.ix_(s, y)])
    np.testing.assert_allclose(bottom.factor.T @ bottom.factor, a[np.ix_(s, s)], rtol=1e-10)
    np.testing.assert_allclose(bottom.slope, expected, rtol=1e-8, atol=1e-10)
    precision = a[np.ix_(y, y)] + a[np.ix_(y, s)] @ expected
    np.testing.assert_allclose(bottom.precision, precision, rtol=1e-6, atol=1e-6)
    residuals = slopes @ (norm.cdf(bottom.z) - centre)
    assert bottom.deviance == pytest.approx(residuals @ residuals + bottom.z @ bottom.z, rel=1e-10)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**16), st.sampled_from([0.0, 1e-3, 10.0]))
def test_steps_solve_the_damped_normal_equations(seed, damping):
    rng = np.random.default_rng(seed)
    factor, residuals = np.triu(rng.standard_normal((3, 3)), 1), rng.standard_normal(3)
    factor += np.diag(rng.uniform(0.5, 2, 3))
    step, predicted = _step(factor, residuals, damping)
    a = factor.T @ factor
    a += damping * np.diag(np.diag(a))
    expected = -np.linalg.solve(a, factor.T @ residuals)
    np.testing.assert_allclose(step, expected, rtol=1e-8, atol=1e-10)
    assert predicted == pytest.approx(step @ a @ step, rel=1e-8)
