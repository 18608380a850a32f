"""Plots of measured curves and fits show their samples."""

from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.figure import Figure

from coopetition.compare.curves import Curves
from coopetition.plot.fits import plot_curves, plot_fit
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
