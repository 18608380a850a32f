"""One noise of several curves: its likelihood, maximised and integrated, and draws."""

import math

import numpy as np
import pytest
from scipy.optimize import minimize

from coopetition.fitting.common_noise import Residuals, largest_common_rho
from coopetition.fitting.noise import correlated_noise, whiten

SIZES = (50, 60, 81)


@pytest.fixture(scope="module")
def curves():
    rng = np.random.default_rng(4)
    units = [rng.uniform(0.7, 1.4, n) for n in SIZES]
    return [(0.1 * u * correlated_noise(rng, len(u), 0.2), u) for u in units]


def sums_of(curves) -> Residuals:
    return Residuals.of(*((np.zeros(len(u)), residual, u) for residual, u in curves))


def log_density(curves, log_sigma, rho):
    """Return the log likelihood, from the whitened series of each curve."""
    total = 0.0
    for residual, u in curves:
        n, squares = len(u), float(np.sum(whiten(residual / u, rho) ** 2))
        norm = n * math.log(2 * math.pi) + 2 * n * log_sigma + (n - 1) * math.log(1 - rho**2)
        total -= norm / 2 + squares / (2 * math.exp(2 * log_sigma) * (1 - rho**2))
        total -= float(np.log(u).sum())
    return total


def log_units(curves):
    return sum(float(np.log(u).sum()) for _, u in curves)


def test_the_most_likely_noise_is_that_of_a_general_optimiser(curves):
    noise, deviance = sums_of(curves).most_likely_noise()
    bounds = [(-6, 2), (0, largest_common_rho(min(SIZES)))]
    best = minimize(lambda x: -2 * log_density(curves, *x), [-2, 0.2], bounds=bounds)
    assert deviance + 2 * log_units(curves) == pytest.approx(best.fun, abs=1e-4)
    assert (math.log(noise.sigma), noise.rho) == pytest.approx(best.x, abs=1e-2)


def test_the_integral_and_the_draws_are_those_of_sigma_and_rho(curves):
    """To 1e-4 by Gauss-Legendre in both; 20,000 draws have their means."""
    x, weights = np.polynomial.legendre.leggauss(200)
    log_sigma, by_sigma = -2.5 + 1.5 * x, 1.5 * weights
    half = largest_common_rho(min(SIZES)) / 2
    rho, by_rho = half * (1 + x), half * weights
    values = np.array([[log_density(curves, a, r) for r in rho] for a in log_sigma])
    largest = values.max()
    density = np.exp(values - largest) * by_sigma[:, None] * by_rho
    sums = sums_of(curves)
    found = sums.integrate()[0] - log_units(curves)
    assert found == pytest.approx(largest + math.log(density.sum() / (2 * half)), abs=1e-4)
    drawn = Residuals.draw(np.random.default_rng(0), [sums] * 20_000)[1]
    density /= density.sum()
    means = density.sum(1) @ log_sigma, density.sum(0) @ rho
    assert (np.log(drawn[:, 0]).mean(), drawn[:, 1].mean()) == pytest.approx(means, abs=5e-3)


def test_curves_that_cannot_be_computed_have_no_likelihood(curves):
    broken = [(np.where(u > 1, np.nan, residual), u) for residual, u in curves]
    sums = sums_of(broken)
    assert math.isnan(sums.integrate()[0])
    assert math.isnan(sums.most_likely_noise()[1])
