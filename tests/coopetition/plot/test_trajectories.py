"""Plots of solutions show the solution's numbers."""

import numpy as np
from matplotlib import pyplot
from matplotlib.figure import Figure

from coopetition import Cost, Mechanism, Model, random_draw, solve, two_strategies
from coopetition.plot.style import COLOURS

SMALL = {"a": 3, "b": 3, "c": 3, "d": 4}


def test_losses_and_state_are_drawn_as_they_are():
    trajectory = solve(two_strategies(), random_draw(0, SMALL), t1=20.0)
    ax = trajectory.plot()  # pyplot's, so that a notebook shows it
    assert ax.figure is pyplot.gcf()
    drawn = {line.get_label(): line for line in ax.get_lines()}
    assert set(drawn) == {"ICL", "CIWL", "total loss"}, "and no cost"
    np.testing.assert_array_equal(drawn["ICL"].get_ydata(), trajectory.losses["icl"])
    np.testing.assert_array_equal(drawn["ICL"].get_xdata(), trajectory.times)
    pyplot.close(ax.figure)
    state = Figure().subplots()
    assert trajectory.plot_state(ax=state) is state
    curves = {line.get_label(): line.get_ydata() for line in state.get_lines()}
    np.testing.assert_array_equal(curves["d: overlap"], trajectory.overlap[3])
    np.testing.assert_array_equal(curves["d: orthogonal"], trajectory.orthogonal[3])
    assert len(curves) == 8


def test_mechanisms_of_an_own_graph_have_colours_of_their_own():
    mechanisms = [
        Mechanism(name, (f"{name}1", "b"), 0.1) for name in ("one", "two", "three", "four")
    ]
    factors = ("b", *(m.factors[0] for m in mechanisms))
    model = Model(factors, tuple(mechanisms), (Cost("rivals", ("one1", "two1"), 0.1),))
    ax = Figure().subplots()
    solve(model, random_draw(0, dict.fromkeys(factors, 3)), t1=5.0).plot(ax=ax)
    colours = {line.get_label(): line.get_color() for line in ax.get_lines()}
    assert colours.pop("total loss") == COLOURS["total"]
    assert len(set(colours.values())) == 4 and not set(colours.values()) & set(COLOURS.values())
