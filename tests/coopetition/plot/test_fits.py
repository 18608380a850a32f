"""Plots of measured curves and fits show their samples."""

from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.figure import Figure

from coopetition.compare.curves import Curves
from coopetition.plot.fits import (
    plot_autocorrelation,
    plot_curves,
    plot_fit,
    plot_residuals,
    plot_theories,
    plot_waterfall,
)
from coopetition.plot.style import COLOURS

SEQUENCES = np.array([0.0, 1e6, 3e6])


@pytest.fixture
def ax():
    return Figure().subplots()


def test_curves_are_drawn_in_millions_of_sequences(ax):
    curves = Curves(SEQUENCES, {"icl": np.array([3.0, np.nan, 1.0]), "own": np.ones(3)})
    plot_curves(curves, ax=ax, lw=0.5)
    icl, own = ax.get_lines()
    np.testing.assert_array_equal(icl.get_xdata(), [0, 1, 3])
    np.testing.assert_array_equal(icl.get_ydata(), curves.values["icl"])
    assert icl.get_color() == COLOURS["icl"] and own.get_color() not in COLOURS.values()
    assert icl.get_linewidth() == 0.5 and icl.get_label() == "ICL"


def test_measured_curves_are_told_apart_and_named(ax):
    """Also one that was measured now and then, of which no two samples are neighbours."""
    rare = np.array([0.5, np.nan, 0.7])
    curves = Curves(SEQUENCES, {"train": np.ones(3), "icl": rare}, metric="in_context_accuracy")
    assert curves.plot(ax=ax) is ax
    assert ax.get_ylabel() == "in context accuracy" and "sequences" in ax.get_xlabel()
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["train", "ICL"]
    np.testing.assert_array_equal(ax.get_lines()[1].get_xydata(), [[0, 0.5], [3, 0.7]])


def test_a_fit_is_drawn_as_points_and_lines(ax):
    curve = SimpleNamespace(
        sequences=SEQUENCES,
        measured=np.array([3.0, 2.0, 1.0]),
        fitted=np.array([3.1, 1.9, 1.0]),
        r2=0.98765,
    )
    run = SimpleNamespace(metric="loss")
    fit = SimpleNamespace(curves={"ciwl": curve}, problem=SimpleNamespace(runs=[run]))
    plot_fit(fit, ax=ax)
    points, line = ax.get_lines()
    assert points.get_linestyle() == "None" and points.get_marker() == "."
    np.testing.assert_array_equal(points.get_ydata(), curve.measured)
    np.testing.assert_array_equal(line.get_ydata(), curve.fitted)
    assert points.get_color() == line.get_color() == COLOURS["ciwl"]
    assert line.get_label() == "CIWL: $R^2$ = 0.988"


@pytest.fixture(scope="module")
def fitted():
    from coopetition.compare.estimate import fit
    from coopetition.compare.recovery import simulate

    truth = dict(icl_at=2e5, icl_width=5e4, ciwl_at=6e5, ciwl_width=1e5, loss=0.8)
    curves = simulate("logistic_race", truth)
    return fit(curves, "logistic_race", n_screened=64, n_starts=3)


def test_residuals_and_their_autocorrelation_are_drawn(fitted, ax):
    plot_residuals(fitted, ax=ax)
    line = ax.get_lines()[1]  # of icl
    each = fitted.curves["icl"]
    np.testing.assert_allclose(line.get_ydata() * each.rmse, each.measured - each.fitted)
    other = Figure().subplots()
    plot_autocorrelation(fitted, ax=other)
    shared = other.get_lines()[1].get_ydata()
    assert shared[0] == 1 and shared[1] == pytest.approx(each.autocorrelation)


def test_a_waterfall_falls_from_the_best_on(fitted, ax):
    (line,) = plot_waterfall(fitted, ax=ax).get_lines()
    assert list(line.get_ydata()) == list(fitted.starts) == sorted(fitted.starts)


def test_theories_are_drawn_above_the_best(fitted, ax):
    from coopetition.compare.selection import compare_theories

    names = ("logistic_race", "spline")
    found = compare_theories(fitted.problem.runs[0], names, n_screened=64, n_starts=2)
    bars = plot_theories(found, ax=ax).patches
    rows = found.rows()
    assert [bar.get_width() for bar in bars] == [row["bic"] - rows[0]["bic"] for row in rows]
