"""Profiles and posterior samples agree with first-order intervals where these are exact."""

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.figure import Figure
from threadpoolctl import threadpool_info, threadpool_limits

from coopetition.fitting.estimate import fit
from coopetition.fitting.intervals import profile, profiled
from coopetition.fitting.optimum import refine
from coopetition.fitting.problem import FitProblem
from coopetition.fitting.simulation import simulate
from coopetition.tools.errors import UsageError


def test_with_little_noise_all_kinds_of_intervals_agree(race_fit, race_posterior):
    """Both ends, within a share of the half width; profiles change nothing else of a fit."""
    found, profiles = profiled(race_fit)
    assert {*profiles} == {*race_fit.parameters} and found.starts == race_fit.starts
    assert found.parameters["loss"] == profiles["loss"].estimate
    sampled = race_posterior.estimates()
    for name, first in race_fit.parameters.items():
        half = (first.high - first.low) / 2
        for other, share in ((profiles[name].estimate, 0.15), (sampled[name], 0.35)):
            assert other.status == "identifiable"
            assert abs(other.low - first.low) < share * half
            assert abs(other.high - first.high) < share * half


def test_profiles_are_computed_on_one_blas_thread(race_fit, monkeypatch):
    threads, jacobian = set(), FitProblem.residuals_and_jacobian

    def watched(self, theta):
        blas = [each for each in threadpool_info() if each["user_api"] == "blas"]
        threads.update(each["num_threads"] for each in blas)
        return jacobian(self, theta)

    monkeypatch.setattr(FitProblem, "residuals_and_jacobian", watched)
    with threadpool_limits(2, user_api="blas"):
        profile(race_fit, "loss", n=1)
    assert threads == {1}


def test_a_point_of_a_profile_is_the_fit_with_that_value(race_fit):
    found = profile(race_fit, "ciwl_at")
    assert found.rise.min() == pytest.approx(0, abs=1e-2)
    k = int(np.argmin(np.abs(found.rise - found.threshold)))
    fixed = {"ciwl_at": float(found.values[k])}
    held = fit(race_fit.problem.runs[0], "logistic_race", fixed=fixed, n_screened=256, n_starts=4)
    assert found.rise[k] == pytest.approx(held.deviance - race_fit.deviance, rel=0.02)
    assert 1 < found.threshold / race_fit.threshold < 1.3
    with pytest.raises(UsageError, match="'magic' is not free.*icl_at"):
        profile(race_fit, "magic")


def test_the_profile_of_an_unidentifiable_parameter_does_not_rise(race):
    """Of two growths only one was measured."""
    found = fit(race.select(("ciwl",)), "logistic_race", n_screened=64, n_starts=2)
    along = profile(found, "icl_at")
    assert along.estimate.status == "structurally unidentifiable"
    assert along.rise.max() < along.threshold
    assert len(along.to_frame()) == len(along.values) and (np.diff(along.values) > 0).all()


def test_points_at_which_another_parameter_is_at_its_limit_are_marked(truth):
    """If CIWL takes all of ICL, its share is at the end of its search."""
    curves = simulate("logistic_race", truth | {"loss": 1.0}, noise=0.05)
    along = profile(fit(curves, "logistic_race", n_screened=256, n_starts=4), "ciwl_at")
    assert "at limit" in along.statuses and set(along.statuses) <= {"valid", "at limit"}
    points, limited, threshold = along.plot(ax=Figure().subplots()).get_lines()
    np.testing.assert_array_equal(points.get_ydata(), along.rise)
    assert len(limited.get_xdata()) == along.statuses.count("at limit")
    assert threshold.get_ydata()[0] == along.threshold


def test_an_end_that_no_point_comes_close_to_is_not_trusted(race_fit, monkeypatch):
    """Here, all fits between the threshold and twice that far from the best one fail."""
    whole = profile(race_fit, "loss")
    best = whole.values[whole.rise.argmin()]
    far = 2 * (whole.estimate.high - best)

    def fail_near_the_end(problem, theta, *arguments, **options):
        found = refine(problem, theta, *arguments, **options)
        k = options["held"]
        distance = abs(problem.free[k].parameter.from_unit(theta[k]) - best)
        return replace(found, converged=found.converged and not far / 4 < distance < far)

    monkeypatch.setattr("coopetition.fitting.intervals.refine", fail_near_the_end)
    found = profile(race_fit, "loss")
    assert whole.estimate.status == "identifiable" and found.estimate.status == "not converged"
