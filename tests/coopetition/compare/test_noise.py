"""Correlated samples have a smaller effective size; noise has the requested correlation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coopetition.compare.noise import (
    autocorrelations,
    correlated_noise,
    correlation_time,
    effective_n_curves,
)


@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.9])
def test_correlation_times_of_noise_are_known(correlation):
    """(1 + r) / (1 - r) of a noise whose neighbours share r; 20,000 samples, to 15 % (3 s.d.)."""
    noise = correlated_noise(np.random.default_rng(0), 20_000, correlation)
    assert correlation_time(noise) == pytest.approx((1 + correlation) / (1 - correlation), rel=0.15)
    assert noise.std() == pytest.approx(1, rel=0.1)
    assert autocorrelations(noise)[1] == pytest.approx(correlation, abs=0.03)


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**16), st.integers(2, 60), st.floats(1e-3, 1e3), st.floats(-10, 10))
def test_correlation_times_depend_on_neither_unit_nor_level(seed, n, unit, level):
    x = np.random.default_rng(seed).standard_normal(n)
    assert 1 <= correlation_time(x) <= n
    assert correlation_time(level + unit * x) == pytest.approx(correlation_time(x), rel=1e-6)


def test_constant_residuals_are_not_correlated():
    assert correlation_time(np.zeros(10)) == 1


def test_equal_curves_have_an_effective_number_of_one():
    """5,000 samples of independent curves, and of two that are one."""
    x = np.random.default_rng(0).standard_normal((3, 5000))
    assert effective_n_curves(x) == pytest.approx(3, abs=0.02)
    assert effective_n_curves(np.stack([x[0], -x[0], x[0]])) == pytest.approx(1)
    x[0, 100] = np.nan  # where one was not measured, none is used
    assert effective_n_curves(x) == pytest.approx(3, abs=0.02)
