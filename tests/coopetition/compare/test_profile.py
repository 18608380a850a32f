"""Profiles and contours, against what is known of them."""

import numpy as np
import pytest
from matplotlib.figure import Figure
from threadpoolctl import threadpool_info, threadpool_limits

from coopetition.compare.estimate import fit
from coopetition.compare.intervals import contour, profile, profiled
from coopetition.compare.least_squares import Problem
from coopetition.compare.posterior import block_bootstrap, draws, with_draws
from coopetition.compare.recovery import simulate
from coopetition.tools.errors import UsageError

TRUTH = dict(icl_at=2e5, icl_width=5e4, ciwl_at=6e5, ciwl_width=1e5, loss=0.8)


@pytest.fixture(scope="module")
def fitted():
    curves = simulate("logistic_race", TRUTH, noise=0.01, correlation=0.0)
    return fit(curves, "logistic_race", n_screened=256, n_starts=4)


def test_with_little_noise_the_profile_is_the_first_order(fitted):
    """And so are draws: both ends of each, within a third of the half width."""
    of_draws = with_draws(fitted, n=150).parameters
    for name, first in fitted.parameters.items():
        along = profile(fitted, name).estimate
        half = (first.high - first.low) / 2
        assert along.status == "identifiable"
        assert abs(along.low - first.low) < 0.15 * half
        assert abs(along.high - first.high) < 0.15 * half
        assert abs(of_draws[name].low - first.low) < 0.35 * half
        assert abs(of_draws[name].high - first.high) < 0.35 * half


def test_profiles_are_computed_on_one_blas_thread(fitted, monkeypatch):
    """As fits are: more threads would only wait for each other."""
    threads = set()
    slopes = Problem.slopes

    def watched(self, place):
        blas = [each for each in threadpool_info() if each["user_api"] == "blas"]
        threads.update(each["num_threads"] for each in blas)
        return slopes(self, place)

    monkeypatch.setattr(Problem, "slopes", watched)
    with threadpool_limits(2, user_api="blas"):
        profile(fitted, "loss", n=1)
    assert threads == {1}


def test_no_point_of_a_profile_is_better_than_another_fit_with_that_value(fitted):
    found = profile(fitted, "ciwl_at")
    assert found.rise.min() == pytest.approx(0, abs=1e-2)
    k = int(np.argmin(np.abs(found.rise - found.threshold)))
    held = fit(
        fitted.problem.runs[0],
        "logistic_race",
        fixed={"ciwl_at": float(found.values[k])},
        n_screened=256,
        n_starts=4,
    )
    rise = fitted.freedom * (held.starts[0] / fitted.starts[0] - 1)
    assert found.rise[k] == pytest.approx(rise, rel=0.02)
    assert found.threshold == fitted.threshold > 2.7


def test_a_profile_of_what_is_not_seen_does_not_rise():
    """Of two growths of which one was not measured."""
    curves = simulate("logistic_race", TRUTH, noise=0.01).select(("ciwl",))
    found = fit(curves, "logistic_race", n_screened=64, n_starts=2)
    along = profile(found, "icl_at")
    assert along.estimate.status == "not seen" and along.rise.max() < along.threshold
    assert len(along.to_frame()) == len(along.values) and (np.diff(along.values) > 0).all()


def test_a_point_at_which_another_parameter_is_at_its_limit_says_so():
    """Where CIWL takes all of ICL, its share is at the end of its search."""
    curves = simulate("logistic_race", TRUTH | {"loss": 1.0}, noise=0.05)
    found = fit(curves, "logistic_race", n_screened=256, n_starts=4)
    along = profile(found, "ciwl_at")
    assert "at limit" in along.statuses and set(along.statuses) <= {"valid", "at limit"}
    _, limited, _ = along.plot(ax=Figure().subplots()).get_lines()
    assert len(limited.get_xdata()) == along.statuses.count("at limit")


def test_profiled_is_the_same_fit_with_other_intervals(fitted):
    found, profiles = profiled(fitted)
    assert {*profiles} == {*TRUTH}
    assert found.starts == fitted.starts
    assert found.parameters["loss"] == profiles["loss"].estimate


def test_contours_rise_from_the_best(fitted):
    found = contour(fitted, "ciwl_at", "ciwl_width", n=7)
    assert [*found.values] == ["ciwl_at", "ciwl_width"] and found.rise.shape == (7, 7)
    assert np.unravel_index(found.rise.argmin(), (7, 7)) == (3, 3)
    assert found.rise[3, 3] < 0.01 * found.threshold < found.rise[0, 0]
    ax = Figure().subplots()
    assert found.plot(ax=ax).get_xlabel() == "ciwl_at"
    with pytest.raises(UsageError, match="'magic' is not free in this fit; choose one of icl_at"):
        contour(fitted, "magic", "loss")
    with pytest.raises(UsageError, match="both are loss"):
        contour(fitted, "loss", "loss")


def test_a_profile_is_drawn_with_its_threshold(fitted):
    found = profile(fitted, "loss")
    points, limited, threshold = found.plot(ax=Figure().subplots()).get_lines()
    np.testing.assert_array_equal(points.get_ydata(), found.rise)
    assert len(limited.get_xdata()) == found.statuses.count("at limit")
    assert threshold.get_ydata()[0] == found.threshold


def test_blocks_of_residuals_agree_with_noise_like_them(fitted):
    """Independent noise: the widths of both kinds of draws within a third of each other."""
    one, two = draws(fitted, n=150), block_bootstrap(fitted, n=150)
    ratio = two.places.std(0) / one.places.std(0)
    assert (ratio > 0.65).all() and (ratio < 1.5).all()
    again = draws(fitted, n=150)
    np.testing.assert_array_equal(one.places, again.places)
