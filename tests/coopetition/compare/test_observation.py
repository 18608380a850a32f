"""The observed curves are the solver's."""

import numpy as np
import pytest

from coopetition.compare import observation
from coopetition.compare.observation import OBSERVED, ToyCurves, start
from coopetition.dynamics.flow import flow
from coopetition.model.draws import canonical_draw
from coopetition.model.presets import two_strategies

TRUTH = {
    "alpha": 0.5,
    "mu1": 0.2,
    "a": 0.05,
    "b": 1.2,
    "d": 1.5,
    "d_orthogonal": 2.0,
    "duration": 1500.0,
}


def exact(model, ts):
    """The solver's losses, by name, at some times from the start of the toy."""
    problem = start(TRUTH)
    overlaps, orthogonal = ({f: problem.start[f][k] for f in "abcd"} for k in (0, 1))
    draw = canonical_draw(problem.dims, problem.norms, overlaps, orthogonal)
    solved = flow(model, draw, t1=ts[-1], ts=ts, threshold=0.0, rtol=1e-11, atol=1e-13)
    k = solved.samples_at(ts)
    return {name: values[k] for name, values in solved.losses.items()}


@pytest.mark.parametrize("rates", [{}, {"a": 0.5, "b": 2.0, "c": 0.0}])
def test_toy_curves_are_the_solvers(rates, monkeypatch):
    """Also of a model whose factors move at other rates, one of them not at all."""
    plain = two_strategies().at_rates(**rates)
    monkeypatch.setattr(observation, "two_strategies", lambda: plain)
    observation.solver.cache_clear()
    try:
        parts = np.array([0.0, 0.3, 0.7, 1.0])  # on the integrator's grid
        toy = ToyCurves(parts)(TRUTH)
        model = two_strategies(alpha=TRUTH["alpha"], mu1=TRUTH["mu1"]).at_rates(**rates)
        losses = exact(model, parts[1:] * TRUTH["duration"])
    finally:
        observation.solver.cache_clear()
    for curve, name in OBSERVED.items():
        np.testing.assert_allclose(toy[curve][1:], losses[name], rtol=1e-5)
