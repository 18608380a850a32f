"""Noise is autoregressive: it is whitened exactly, and has the requested correlation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coopetition.fitting.noise import autocorrelations, correlated_noise, whiten


@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.9])
def test_noise_has_its_variance_and_correlation(correlation):
    """20,000 samples, to three standard deviations."""
    noise = correlated_noise(np.random.default_rng(0), 20_000, correlation)
    assert noise.std() == pytest.approx(1, rel=0.1)
    assert autocorrelations(noise)[1] == pytest.approx(correlation, abs=0.03)


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**16), st.integers(2, 60), st.floats(0, 0.99))
def test_whitened_series_have_the_norm_of_the_inverse_covariance(seed, n, rho):
    z = np.random.default_rng(seed).standard_normal((n, 2))
    covariance = rho ** np.abs(np.subtract.outer(np.arange(n), np.arange(n)))
    e = whiten(z, rho)
    expected = (1 - rho**2) * z.T @ np.linalg.solve(covariance, z)
    np.testing.assert_allclose(e.T @ e, expected, rtol=1e-6, atol=1e-9)


def test_constant_residuals_are_not_correlated():
    np.testing.assert_array_equal(autocorrelations(np.ones(5)), [1, 0, 0, 0, 0])
