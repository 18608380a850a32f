"""Text reports fit the width of a page, and begin with whether the result can be trusted."""

import math
from dataclasses import replace

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


@pytest.fixture(scope="module")
def long_names(race):
    """Two runs with names such as those of folders of an ensemble."""
    name = "init_seed=5,data.n_classes=12800,optim.learning_rate=0.0001"
    other = replace(race, values={name: 0.9 * values for name, values in race.values.items()})
    return [replace(race, source=name), replace(other, source=f"{name},data_seed=3")]


@pytest.mark.parametrize("name", NAMES)
def test_fits_of_every_theory(race, name):
    check(co.fit(race, name, **FAST).summary())


def test_posteriors(race_fit):
    check(co.sample_posterior(race_fit, n=20, max_calls=1).summary())


def test_fits_of_several_runs(long_names):
    fit = co.fit(long_names, "logistic_race", shared=["loss"], **FAST)
    check(fit.summary())
    check(co.profile(fit, "loss", n=1).summary())
    check(co.compare(long_names, ["logistic_race", "spline"], **FAST).summary())


@settings(deadline=None, max_examples=5)
@given(
    st.lists(st.sampled_from(NAMES), min_size=1, max_size=3, unique=True),
    st.floats(1e-3, 0.5),
    st.integers(12, 40),
)
def test_comparisons_of_any_theories(truth, chosen, noise, n):
    curves = co.simulate("logistic_race", truth, noise=noise, n=n)
    check(co.compare(curves, chosen, **FAST).summary())


@pytest.mark.parametrize("until", [3e5, 6e5])
def test_forecasts(race, until, monkeypatch):
    monkeypatch.setattr("coopetition.fitting.posterior.MIN_EFFECTIVE", math.inf)
    fit = co.fit(race.between(last=until), "logistic_race", **FAST)
    posterior = co.sample_posterior(fit, n=100, max_calls=1)
    first_line = check(co.forecast(posterior, 2e6).summary())[0]
    assert first_line.startswith("CAUTION") and "converged" in first_line


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
