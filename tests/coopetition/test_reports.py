"""Text reports fit the width of a page, and begin with whether the result can be trusted."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import coopetition as co
from coopetition.tools.files import REPORT_WIDTH

FAST = {"n_screened": 16, "n_starts": 2}
NAMES = list(co.theories())
MODELS = (co.two_strategies, co.three_strategies, co.no_sharing, co.induction_head)


def check(text):
    """A report fits the page, and has no line of a table that ends in blanks."""
    lines = text.splitlines()
    assert max(map(len, lines)) <= REPORT_WIDTH, max(lines, key=len)
    assert lines == [line.rstrip() for line in lines] and lines[0]
    return lines


@settings(deadline=None, max_examples=10)
@given(
    st.lists(st.sampled_from(NAMES), min_size=1, unique=True),
    st.floats(1e-3, 0.5),
    st.integers(12, 40),
)
def test_comparisons_of_any_theories(truth, chosen, noise, n):
    curves = co.simulate("logistic_race", truth, noise=noise, n=n)
    check(co.compare_theories(curves, chosen, **FAST).summary())


@pytest.mark.parametrize("make", MODELS)
@settings(deadline=None, max_examples=5)
@given(seed=st.integers(0, 1000), n_steps=st.integers(1, 3000))
def test_trajectories(make, seed, n_steps):
    model = make()
    trajectory = co.descend(model, co.random_draw(seed, model), n_steps=n_steps)
    assert trajectory.status.value in " ".join(check(trajectory.summary())[:2])


def test_phase_diagrams():
    x, y = co.Axis("alpha", [0.1, 0.2]), co.Axis("mu1", [0.1])
    for step, caution in ((1.0, False), (1e3, True)):
        diagram = co.phase_diagram(co.two_strategies(), x, y, n_draws=2, n_steps=20, step=step)
        assert ("diverged" in check(diagram.summary())[0]) == caution


@pytest.mark.parametrize("name", ["two_strategies", "three_strategies"])
def test_derivations(call, name):
    check(call("coopetition", "derive", name))


@given(st.lists(st.text("abc_/.", min_size=1, max_size=25), unique=True, max_size=30))
def test_curves_with_many_names(names):
    check(co.Curves(np.arange(3.0), {name: np.ones(3) for name in names}).summary())
