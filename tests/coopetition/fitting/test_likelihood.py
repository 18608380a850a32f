"""The integrated likelihood is that of numerical integration; draws follow their distribution."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.optimize import minimize

from coopetition.fitting.likelihood import (
    CurveProducts,
    _log_wedge,
    largest_rho,
    rho_nodes,
)
from coopetition.fitting.noise import correlated_noise, whiten

SEEDS = st.integers(0, 2**16)


def case(seed: int, n: int = 12, floor: float = 0.01):
    """Return a falling curve, its error without noise, and units."""
    rng = np.random.default_rng(seed)
    f = np.exp(-np.linspace(0, 3, n))
    u = rng.uniform(0.7, 1.4, n)
    u /= u.mean()
    return floor + 0.5 * f + 0.1 * u * correlated_noise(rng, n, 0.4), f, u


def squares(y, f, u, rho, floor, gain):
    """Return the sum of squares of the whitened series, for grids of floor and gain."""
    y, one, f = (whiten(x / u, rho) for x in (y, np.ones(len(y)), f))
    floor, gain = np.asarray(floor)[..., None, None], np.asarray(gain)[..., None]
    return ((y - floor * one - gain * f) ** 2).sum(-1)


def density(y, f, u, rho, sigma, squares):
    """Return the likelihood."""
    n = len(y)
    log_norm = n * math.log(2 * math.pi * sigma**2) + (n - 1) * math.log(1 - rho**2)
    return np.exp(-log_norm / 2 - squares / (2 * sigma**2 * (1 - rho**2)) - np.log(u).sum())


def nodes(low: float, high: float, n: int):
    x, weights = np.polynomial.legendre.leggauss(n)
    return low + (x + 1) * (high - low) / 2, weights * (high - low) / 2


@pytest.mark.parametrize("seed", [0, 1])
def test_the_integral_is_that_of_all_four_numbers(seed):
    """To 1e-4, by Gauss-Legendre in four dimensions; floor 0.01 is cut off by half."""
    y, f, u = case(seed)
    share = 1 / u**2 / (1 / u**2).sum()
    deviation = math.sqrt(share @ (f - share @ f) ** 2)
    floor, by_floor = nodes(0, 1.5, 120)
    gain, by_gain = nodes(0, 2.5, 120)
    total = 0.0
    for rho, by_rho in zip(*nodes(0, largest_rho(len(y)), 16), strict=True):
        at = squares(y, f, u, rho, floor, gain)
        for log_sigma, by_sigma in zip(*nodes(-4, 0.5, 50), strict=True):
            values = density(y, f, u, rho, math.exp(log_sigma), at)
            total += by_rho * by_sigma * (by_floor @ values @ by_gain) * deviation
    curve = CurveProducts.of((y, f, u))
    found = curve.integrate()[0] - np.log(u).sum()
    assert found == pytest.approx(math.log(total / largest_rho(len(y))), abs=1e-4)


@settings(deadline=None, max_examples=6)
@given(SEEDS, st.sampled_from([6, 20, 98]), st.sampled_from([0.1, 1.0, 6.0]))
def test_probabilities_of_wedges_are_those_of_numerical_integration(seed, nu, distance):
    rng = np.random.default_rng(seed)
    apex, angle = distance * rng.standard_normal(2), rng.uniform(0.1, 3.0)

    def along(direction: float) -> float:
        unit = np.array([math.cos(direction), math.sin(direction)])
        nearest = max(-float(apex @ unit), 0.0)

        def value(r: float) -> float:
            at = apex + r * unit
            return r / (2 * math.pi) * (1 + at @ at / nu) ** (-(nu + 2) / 2)

        near = quad(value, 0, nearest + 3, points=[nearest or 1.0], epsabs=0)[0]
        return near + quad(value, nearest + 3, np.inf, epsabs=0)[0]

    towards = math.atan2(-apex[1], -apex[0])
    points = [towards] if 0 < towards < angle else None
    expected = quad(along, 0, angle, points=points, epsabs=0, epsrel=1e-6)[0]
    found = _log_wedge(*apex, math.cos(angle), math.sin(angle), nu)
    assert found == pytest.approx(math.log(expected), abs=1e-4)


@settings(deadline=None, max_examples=8)
@given(SEEDS, st.sampled_from([-0.3, 0.01, 0.5]))
def test_the_most_likely_noise_is_that_of_a_general_optimiser(seed, floor):
    y, f, u = case(seed, 30, floor)

    def deviance(x) -> float:
        value = density(y, f, u, x[0], math.exp(x[1]), squares(y, f, u, x[0], [x[2]], [x[3]]))
        return -2 * math.log(max(float(value[0, 0]), 1e-300))

    noise, found = CurveProducts.of((y, f, u)).most_likely_noise()
    bounds = [(0, largest_rho(30)), (-6, 2), (0, 5), (0, 5)]
    starts = ([noise.rho, math.log(noise.sigma), level, 0.5] for level in (1e-3, 0.3))
    best = min(minimize(deviance, each, bounds=bounds).fun for each in starts)
    assert found + 2 * np.log(u).sum() == pytest.approx(best, abs=1e-3)


@pytest.mark.parametrize("floor", [0.5, 0.01, -0.6])
def test_levels_and_noise_are_drawn_from_their_distribution(floor):
    """20,000 draws against a grid of floor and gain: means and deviations to 5 %.

    The lowest floor would be negative by many standard deviations.
    """
    y, f, u = case(3, 30, floor)
    curve = CurveProducts.of((y, f, u))
    levels, noise = CurveProducts.draw(np.random.default_rng(0), [curve] * 20_000)
    assert (levels >= 0).all() and (noise[:, 0] > 0).all()
    end = 1.0 if floor > 0 else 0.3
    grid, by_floor = nodes(0, end, 300)
    gain, by_gain = nodes(0, 1.5, 300)
    total, moments, rho_mean = 0.0, np.zeros((2, 2)), 0.0
    for rho, log_weight in zip(*rho_nodes(30), strict=True):
        at = squares(y, f, u, rho, grid, gain)
        # sigma is integrated in closed form
        weights = at ** (-15.0) * (1 - rho**2) ** 0.5 * math.exp(log_weight)
        weights = by_floor[:, None] * weights * by_gain
        total += weights.sum()
        rho_mean += rho * weights.sum()
        for k, of_floor, of_gain in ((0, grid, 1 + 0 * gain), (1, 1 + 0 * grid, gain)):
            moments[k] += [of_floor**p @ weights @ of_gain**p for p in (1, 2)]
    mean, second = moments.T / total
    deviation = np.sqrt(second - mean**2)
    np.testing.assert_allclose(levels.mean(0), mean, atol=0.05 * deviation.min())
    np.testing.assert_allclose(levels.std(0), deviation, rtol=0.05)
    assert noise[:, 1].mean() == pytest.approx(rho_mean / total, abs=0.01)


def test_an_error_that_is_constant_or_not_finite_is_told_apart():
    y, f, u = case(0)
    constant = CurveProducts.of((y, np.ones(12), u))
    assert constant.integrate()[0] == -math.inf
    assert math.isfinite(constant.most_likely_noise()[1])
    unknown = CurveProducts.of((y, np.where(f > 0.5, np.nan, f), u))
    assert math.isnan(unknown.integrate()[0])
    assert math.isnan(unknown.most_likely_noise()[1])
