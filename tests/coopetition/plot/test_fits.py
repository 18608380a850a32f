"""Plots of measured curves and fits show their samples."""

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.figure import Figure

from coopetition.fitting.curves import Curves
from coopetition.fitting.estimate import fit
from coopetition.fitting.forecast import Forecast
from coopetition.fitting.selection import compare
from coopetition.plot.fits import (
    plot_autocorrelation,
    plot_curves,
    plot_fit,
    plot_forecast,
    plot_measured,
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
    icl, own = plot_curves(curves, ax=ax, lw=0.5).get_lines()
    np.testing.assert_array_equal(icl.get_xdata(), [0, 1, 3])
    np.testing.assert_array_equal(icl.get_ydata(), curves.values["icl"])
    assert icl.get_color() == COLOURS["icl"] and own.get_color() not in COLOURS.values()
    assert icl.get_linewidth() == 0.5 and icl.get_label() == "ICL"


def test_measured_curves_have_names_and_bridged_gaps(ax):
    rare = np.array([0.5, np.nan, 0.7])
    curves = Curves(SEQUENCES, {"train": np.ones(3), "icl": rare}, metric="in_context_accuracy")
    assert curves.plot(ax=ax) is ax
    assert ax.get_ylabel() == "in context accuracy" and "sequences" in ax.get_xlabel()
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["train", "ICL"]
    np.testing.assert_array_equal(ax.get_lines()[1].get_xydata(), [[0, 0.5], [3, 0.7]])


def test_the_metrics_of_all_runs_are_named(race, ax):
    one = Curves(SEQUENCES, {"icl": np.ones(3)})
    other = replace(one, metric="in_context_accuracy")
    plot_measured({"one": one, "other": other, "third": one}, ax=ax)
    assert ax.get_ylabel() == "loss and in context accuracy"
    shares = {name: 1 - values / 2 for name, values in race.values.items()}
    found = fit(
        [race, replace(race, values=shares, metric="accuracy")],
        "logistic_race",
        n_screened=4,
        n_starts=1,
    )
    assert plot_fit(found, ax=Figure().subplots()).get_ylabel() == "loss and accuracy"


def test_a_fit_is_drawn_as_points_and_lines(race_fit, ax):
    points, line = plot_fit(race_fit, ax=ax).get_lines()[-2:]
    ciwl = race_fit.curves["ciwl"]
    assert points.get_linestyle() == "None" and points.get_marker() == "."
    np.testing.assert_array_equal(points.get_ydata(), ciwl.measured)
    np.testing.assert_array_equal(line.get_ydata(), ciwl.fitted)
    assert points.get_color() == line.get_color() == COLOURS["ciwl"]
    assert line.get_label() == f"CIWL: $R^2$ = {ciwl.r2:.3f}"


def test_residuals_and_their_autocorrelation_are_drawn(race_fit, ax):
    icl = race_fit.curves["icl"]
    line = plot_residuals(race_fit, ax=ax).get_lines()[1]
    np.testing.assert_allclose(line.get_ydata() * icl.rmse, icl.measured - icl.fitted)
    values = plot_autocorrelation(race_fit, ax=Figure().subplots()).get_lines()[1].get_ydata()
    assert values[0] == 1 and values[1] == pytest.approx(icl.rho, abs=0.1)


def test_a_waterfall_rises_from_the_best(race_fit, ax):
    (line,) = plot_waterfall(race_fit, ax=ax).get_lines()
    assert list(line.get_ydata()) == list(race_fit.starts) == sorted(race_fit.starts)


def test_theories_are_drawn_above_the_best(race, ax):
    found = compare(race, ("logistic_race", "spline"), n_screened=64, n_starts=2)
    bars, rows = plot_theories(found, ax=ax).patches, found.rows()
    assert [bar.get_width() for bar in bars] == [row["bic"] - rows[0]["bic"] for row in rows]


def test_events_at_the_same_time_share_a_named_line(ax):
    times = {name: np.full(3, at) for name, at in (("peak", 2e6), ("crossing", 2e6), ("fade", 3e6))}
    rows = {"icl": np.ones((3, 3))}
    own = Forecast("toy", "loss", 1e6, 3e6, times, SEQUENCES, rows, [], {})
    plot_forecast(own, ax=ax)
    drawn = {line.get_xdata()[0]: str(line.get_label()) for line in ax.get_lines()[1:]}
    assert [*drawn] == [1, 2, 3]
    assert "peak" in drawn[2] and "crossing" in drawn[2] and "fade" in drawn[3]
