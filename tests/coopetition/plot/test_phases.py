"""Plots of phase diagrams show the most frequent fate, and how frequent it is."""

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from coopetition import two_strategies
from coopetition.plot.toy import FATE_COLOURS, SHADING, plot_boundaries, plot_phases
from coopetition.studies.phases import FATES, Axis, PhaseDiagram


def index(name):
    return next(k for k, fate in enumerate(FATES) if fate.name == name)


@pytest.fixture
def diagram():
    """Two draws over 3 x 2 points; ICL stays on the left, fades for half of the draws else."""
    stays, fades, never = map(index, ("ICL_PERSISTENT", "ICL_TRANSIENT", "NEVER"))
    fates = np.full((2, 3, 3), fades, np.int8)
    fates[:, 0] = stays
    fates[:, 1:, 0] = never
    x, y = (
        Axis.between("alpha", 0.001, 1, 3, log=True),
        Axis.between("scale_d", 0.1, 2, 2, log=True),
    )
    return PhaseDiagram(two_strategies(), x, y, fates, {})


def test_every_fate_has_a_colour():
    assert {fate.name for fate in FATES} == set(FATE_COLOURS)
    assert len(set(FATE_COLOURS.values())) == len(FATES)


def test_a_point_has_the_colour_of_its_most_frequent_fate(diagram):
    ax = plot_phases(diagram, ax=Figure().subplots())
    drawn = ax.collections[0].get_array()
    np.testing.assert_allclose(drawn[0, 0], to_rgb(FATE_COLOURS["ICL_PERSISTENT"]))
    fades = np.array(to_rgb(FATE_COLOURS["ICL_TRANSIENT"]))
    np.testing.assert_allclose(drawn[1, 2], 1 - (1 - fades) * 2 / 3, err_msg="two of three draws")
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("alpha", "scale_d")
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    legend = ax.get_legend()
    labels = [text.get_text() for text in legend.get_texts()]
    assert labels == [FATES[index(name)].value for name in ("ICL_PERSISTENT", "ICL_TRANSIENT")]
    assert legend.get_title().get_text() == SHADING
    assert diagram.plot(ax=Figure().subplots(), legend=False).get_legend() is None


def test_labels_and_legend_are_inside_the_picture(diagram):
    figure = Figure(figsize=(6, 4), layout="constrained")
    ax = plot_phases(diagram, ax=figure.subplots())
    figure.draw_without_rendering()
    for artist in (ax.xaxis.label, ax.yaxis.label, ax.get_legend()):
        box = artist.get_window_extent()
        assert box.x0 >= 0 and box.y0 >= 0
        assert box.x1 <= figure.bbox.x1 and box.y1 <= figure.bbox.y1


def test_boundaries_run_between_fates(diagram):
    ax = plot_boundaries(diagram, ax=Figure().subplots())
    corners = np.concatenate([path.vertices for c in ax.collections for path in c.get_paths()])
    x = diagram.x.values
    assert ((x[0] < corners[:, 0]) & (corners[:, 0] < x[1])).all()
