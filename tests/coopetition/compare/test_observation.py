"""The observed curves are the solver's."""

import numpy as np
import pytest

from coopetition.compare.observation import OBSERVED, ToyCurves, start
from coopetition.solve.dynamics import flow

TRUTH = {
    "alpha": 0.5,
    "mu1": 0.2,
    "a": 0.05,
    "b": 1.2,
    "d": 1.5,
    "d_orthogonal": 2.0,
    "duration": 1500.0,
}


def test_batched_toy_curves_are_the_solvers():
    parts = np.array([0.0, 0.3, 0.7, 1.0])  # on the integrator's grid
    toy = ToyCurves(parts)({name: np.array([value]) for name, value in TRUTH.items()})
    reduced, u, w = start(TRUTH)
    for k, part in enumerate(parts[1:], start=1):
        _, states, _ = flow(
            reduced, u, w, t_max=part * TRUTH["duration"], threshold=0.0, rtol=1e-11, atol=1e-13
        )
        exact = reduced.losses(list(states[:4, -1]), list(states[4:, -1]))
        for curve, name in OBSERVED.items():
            assert toy[curve][0, k] == pytest.approx(exact[name], rel=1e-5)
