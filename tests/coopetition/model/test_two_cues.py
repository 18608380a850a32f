"""Two cues: expectations against brute force, the optimum, and the readout."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.special import expit

from coopetition.model.two_cues import TwoCues
from coopetition.tools.errors import UsageError

noise = st.floats(0.05, 2)
strength = st.floats(-8, 8)


def brute_force(cues, x, y, function):
    """Return E f(s, r, logit) as a sum over a fine grid of both cues."""
    z = np.arange(-8.5, 8.51, 0.06)
    weights = np.exp(-(z**2) / 2) * 0.06 / math.sqrt(2 * math.pi)
    s, r = 1 + cues.sigma * z[:, None], 1 + cues.nu * z
    return weights @ function(s, r, x * s + y * r) @ weights


@settings(max_examples=20)
@given(st.floats(0.05, 1), st.floats(0.05, 1), st.floats(-2, 2), st.floats(-2, 2))
def test_moments_are_expectations_over_both_cues(sigma, nu, x, y):
    cues = TwoCues(sigma, nu)
    moments = cues.moments(x, y)
    expected = {
        "context": lambda s, r, logit: s * expit(-logit),
        "memory": lambda s, r, logit: r * expit(-logit),
    }
    assert set(expected) == set(moments._fields)
    for name, function in expected.items():
        expected_value = brute_force(cues, x, y, function)
        assert getattr(moments, name) == pytest.approx(expected_value, abs=1e-9)
    loss = brute_force(cues, x, y, lambda s, r, logit: np.logaddexp(0, -logit))
    assert cues.loss(x, y) == pytest.approx(loss, abs=1e-9)


@given(noise, noise, strength, strength)
def test_the_loss_by_quadrature_has_an_error_below_1e_8(sigma, nu, x, y):
    cues = TwoCues(sigma, nu)
    mean, deviation = x + y, math.hypot(sigma * x, nu * y)

    def integrand(z):
        return np.logaddexp(0, -(mean + deviation * z)) * math.exp(-z * z / 2)

    kink = -mean / deviation if deviation > 0 and abs(mean) < 12 * deviation else 0.0
    inner = [each for each in (kink - 1, kink, kink + 1) if abs(each) < 12]
    exact = quad(integrand, -12, 12, points=inner, limit=400, epsabs=1e-12, epsrel=1e-12)[0]
    assert cues.loss(x, y) == pytest.approx(exact / math.sqrt(2 * math.pi), abs=1e-8)


@given(noise, noise, strength, strength)
def test_the_gradient_is_that_of_the_loss(sigma, nu, x, y):
    cues, h = TwoCues(sigma, nu), 1e-4
    moments = cues.moments(x, y)
    slope_x = (cues.loss(x + h, y) - cues.loss(x - h, y)) / (2 * h)
    slope_y = (cues.loss(x, y + h) - cues.loss(x, y - h)) / (2 * h)
    assert (-moments.context, -moments.memory) == pytest.approx((slope_x, slope_y), abs=1e-6)


@given(st.floats(0.3, 2), st.floats(0.3, 2), strength, strength)
def test_the_loss_is_convex_and_lowest_where_the_logit_is_the_log_odds(sigma, nu, x, y):
    cues = TwoCues(sigma, nu)
    best = cues.optimum
    moments = cues.moments(*best)
    assert (moments.context, moments.memory) == pytest.approx((0, 0), abs=1e-9)
    assert cues.loss(x, y) >= cues.loss(*best) - 1e-9
    middle = cues.loss((x + best[0]) / 2, (y + best[1]) / 2)
    assert middle <= (cues.loss(x, y) + cues.loss(*best)) / 2 + 1e-9


@settings(max_examples=10)
@given(noise, noise, strength, strength)
def test_accuracies_are_shares_of_correct_answers(sigma, nu, x, y):
    cues = TwoCues(sigma, nu)
    found = cues.accuracies(x, y)
    flipped = cues.accuracies(x, -y)
    assert found["flip"] == pytest.approx(flipped["train"])
    rng = np.random.default_rng(0)
    s, r, readout = rng.standard_normal((3, 200_000))
    answers = x * (1 + sigma * s) + y * (-1 + nu * r) + readout > 0
    assert found["flip"] == pytest.approx(answers.mean(), abs=0.006)  # five standard errors
    alone = x * (1 + sigma * s) + y * nu * r + readout > 0
    assert found["icl"] == pytest.approx(alone.mean(), abs=0.006)


def test_noise_is_a_finite_number():
    with pytest.raises(UsageError, match="nu"):
        TwoCues(1.0, -0.5)
    assert TwoCues(0.0, 1.0).optimum == (math.inf, 2.0)
    assert TwoCues(0.0, 0.0).loss(1.0, 0.5) == pytest.approx(math.log1p(math.exp(-1.5)))
