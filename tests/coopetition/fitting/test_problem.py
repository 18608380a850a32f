"""Floor and gain are optimal, and the residuals' Jacobian follows them exactly."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import nnls

from coopetition.fitting.curves import Curves
from coopetition.fitting.noise import Noise, whiten
from coopetition.fitting.observation import fit_floor_gain, to_errors
from coopetition.fitting.problem import FitProblem
from coopetition.fitting.registry import theory_of

SEEDS = st.integers(0, 2**16)


def random_case(seed: int):
    """Return a curve, a theory's error with its parameters, value and Jacobian, and a constant."""
    rng = np.random.default_rng(seed)
    t = np.linspace(0, 1, 30)
    p = np.array([rng.uniform(1, 5), rng.uniform(-1, 1)])

    def error(p):
        return np.exp(-p[0] * t) + p[1] * t

    f, df = error(p), np.stack([-t * np.exp(-p[0] * t), t], 1)
    one = rng.uniform(0.2, 3, 30)
    y = rng.uniform(-1, 2) * one + rng.uniform(-1, 3) * f + 0.1 * rng.standard_normal(30)
    return y, error, p, f, df, one


@settings(deadline=None, max_examples=100)
@given(SEEDS)
def test_no_floor_and_gain_above_zero_are_better(seed):
    y, _, _, f, df, one = random_case(seed)
    found = fit_floor_gain(y, f, df, one)
    _, best = nnls(np.stack([one, f], 1), y)
    assert found.floor >= 0 and found.gain >= 0
    assert np.linalg.norm(found.residual) == pytest.approx(best, rel=1e-9)
    np.testing.assert_allclose(found.residual, found.floor * one + found.gain * f - y, atol=1e-12)


@settings(deadline=None, max_examples=100)
@given(SEEDS, st.sampled_from([0.0, 0.3, 1.0]))
def test_the_jacobian_follows_floor_and_gain(seed, least):
    y, error, p, f, df, one = random_case(seed)
    found = fit_floor_gain(y, f, df, one, least_gain=least)
    for k, step in enumerate(1e-6 * np.eye(2)):
        ends = [fit_floor_gain(y, error(p + s * step), df, one, least_gain=least) for s in (1, -1)]
        if len({(end.floor > 0, end.gain > 0) for end in (*ends, found)}) > 1:
            return  # at the edge of the allowed floors
        numeric = (ends[0].residual - ends[1].residual) / 2e-6
        np.testing.assert_allclose(found.jacobian[:, k], numeric, atol=1e-5 * (1 + found.gain))


def test_the_error_of_an_accuracy_is_what_is_missing_to_one():
    values = np.array([0.5, 0.9, 1.0])
    np.testing.assert_allclose(to_errors(values, "in_context_accuracy"), [0.5, 0.1, 0.0])
    np.testing.assert_array_equal(to_errors(values, "in_context_loss"), values)


def test_an_error_that_is_not_finite_gives_nan():
    y, f = np.arange(5.0), np.array([1.0, np.nan, 1.0, 0.5, 0.2])
    found = fit_floor_gain(y, f, np.zeros((5, 2)), np.ones(5))
    assert np.isnan(found.residual).all() and not found.jacobian.any()


def test_residuals_and_their_jacobian_are_those_of_whitened_curves():
    """Two runs have a shared and a tied parameter, missing samples, and samples of known errors."""
    rng, t = np.random.default_rng(0), np.linspace(0, 1, 30)
    runs = []
    for name in "ab":
        values = {each: 0.3 + np.exp(-3 * t) + 0.1 * rng.random(30) for each in ("icl", "ciwl")}
        values["icl"][4:7] = np.nan
        runs.append(Curves(1e6 * t, values, name, std={"icl": rng.uniform(0.5, 2, 30)}))
    shared, fixed = "icl_width", {"ciwl_width": "icl_width"}
    problem = FitProblem(runs, theory_of("logistic_race"), shared=shared, fixed=fixed)
    noise = {name: Noise(rng.uniform(0.1, 0.3), rng.uniform(0, 0.9)) for name in problem.where}
    problem, theta = problem.with_noise(noise), rng.uniform(0.3, 0.7, len(problem.free))

    def residuals_at(theta):
        parts = []
        for name, (k, row) in problem.where.items():
            f = problem.outputs(theta, problem.times)[k][row][problem.known[name]]
            scale = problem.units[name] * noise[name].sigma * (1 - noise[name].rho ** 2) ** 0.5
            series = (problem.errors[name] / scale, f / scale, 1 / scale)
            y, f, one = (whiten(each, noise[name].rho) for each in series)
            parts.append(fit_floor_gain(y, f, np.zeros((len(f), 1)), one).residual)
        return np.concatenate(parts)

    residuals, jacobian = problem.residuals_and_jacobian(theta)
    np.testing.assert_allclose(residuals, residuals_at(theta), rtol=1e-10, atol=1e-10)
    for k, step in enumerate(1e-5 * np.eye(len(theta))):
        numeric = (residuals_at(theta + step) - residuals_at(theta - step)) / 2e-5
        scale = np.abs(jacobian).max()
        np.testing.assert_allclose(jacobian[:, k], numeric, rtol=1e-5, atol=1e-7 * scale)
