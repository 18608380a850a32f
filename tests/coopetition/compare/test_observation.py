"""Floor and gain are the best that there are, and residuals' slopes follow them exactly."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import nnls

from coopetition.compare.least_squares import errors_of, seen

SEEDS = st.integers(0, 2**16)


def drawn(seed: int):
    """A measured curve, an error that moves with two parameters, how it does, and weights."""
    rng = np.random.default_rng(seed)
    t = np.linspace(0, 1, 30)
    rate, at = rng.uniform(1, 5), rng.uniform(-1, 1)

    def error(p):
        return np.exp(-p[0] * t) + p[1] * t

    f = error((rate, at))
    df = np.stack([-t * np.exp(-rate * t), t], 1)
    y = rng.uniform(-1, 2) + rng.uniform(-1, 3) * f + 0.1 * rng.standard_normal(30)
    return y, error, np.array([rate, at]), f, df, rng.uniform(0.2, 3, 30)


@settings(deadline=None, max_examples=100)
@given(SEEDS)
def test_no_floor_and_gain_above_0_are_better(seed):
    y, _, _, f, df, weight = drawn(seed)
    found = seen(y, f, df, weight)
    _, best = nnls(np.stack([np.ones_like(f), f], 1) * weight[:, None], y * weight)
    assert found.floor >= 0 and found.gain >= 0
    assert np.linalg.norm(weight * found.residual) == pytest.approx(best, rel=1e-9)
    np.testing.assert_allclose(found.residual, found.floor + found.gain * f - y, atol=1e-12)


@settings(deadline=None, max_examples=100)
@given(SEEDS, st.sampled_from([0.0, 0.3, 1.0]))
def test_slopes_follow_floor_and_gain(seed, least):
    y, error, p, f, df, weight = drawn(seed)
    found = seen(y, f, df, weight, least=least)
    for k in range(2):
        step = np.zeros(2)
        step[k] = 1e-6
        ends = [seen(y, error(p + s * step), df, weight, least=least) for s in (1, -1)]
        if len({(end.floor > 0, end.gain > 0) for end in (*ends, found)}) > 1:
            return  # at the edge of what a floor may be
        by_hand = (ends[0].residual - ends[1].residual) / 2e-6
        np.testing.assert_allclose(found.slopes[:, k], by_hand, atol=1e-5 * (1 + found.gain))


def test_an_accuracy_is_seen_by_what_is_missing():
    values = np.array([0.5, 0.9, 1.0])
    np.testing.assert_allclose(errors_of(values, "in_context_accuracy"), [0.5, 0.1, 0.0])
    np.testing.assert_array_equal(errors_of(values, "in_context_loss"), values)
    twice = errors_of(errors_of(values, "accuracy"), "accuracy")
    np.testing.assert_allclose(twice, values)


def test_what_cannot_be_computed_is_not_seen():
    y, f = np.arange(5.0), np.array([1.0, np.nan, 1.0, 0.5, 0.2])
    found = seen(y, f, np.zeros((5, 2)), np.ones(5))
    assert np.isnan(found.residual).all() and not found.slopes.any()
