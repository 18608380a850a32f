"""Smooth curves without an account: a cubic spline each, in about as many numbers as the toy.

Three numbers shape each curve, which ends below where it begins; floor and gain are two more.
Beyond the last sample a curve continues as a straight line.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from coopetition.fitting.curves import FITTED_CURVES
from coopetition.fitting.theory import OUTPUTS, Parameter, Theory

Array = NDArray[np.float64]

KNOTS = np.linspace(0, 1, 5)
N_INNER = len(KNOTS) - 2


@lru_cache
def _basis(bytes_of_times: bytes) -> Array:
    """Return (n, knots): the contribution of each knot's value at each time, by natural splines."""
    times = np.frombuffer(bytes_of_times)
    within = CubicSpline(KNOTS, np.eye(len(KNOTS)), bc_type="natural")
    beyond = np.maximum(times - 1, 0)[:, None] * within(1.0, 1)
    return within(np.clip(times, 0, 1)) + beyond


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Spline(Theory):
    """Curves from 1 at the start to 0 at the end, through the values at the inner knots."""

    def curves(self, values: Array, times: Array) -> Array:
        """Evaluate the splines; see `Theory`."""
        return self.curves_and_jacobian(values, times)[0]

    def curves_and_jacobian(self, values: Array, times: Array) -> tuple[Array, Array]:
        """Evaluate the splines, which are linear in the values; see `Theory`."""
        basis = _basis(np.asarray(times, float).tobytes())
        curves = np.empty((len(OUTPUTS), len(times)))
        jacobian = np.zeros((len(OUTPUTS), len(times), len(values)))
        for k in range(len(FITTED_CURVES)):
            own = slice(k * N_INNER, (k + 1) * N_INNER)
            jacobian[k, :, own] = basis[:, 1:-1]
            curves[k] = basis[:, 0] + basis[:, 1:-1] @ values[own]
        curves[-1], jacobian[-1] = curves[2] - curves[1], jacobian[2] - jacobian[1]
        return curves, jacobian


THEORY = Spline(
    name="spline",
    title="a cubic spline for each curve",
    source="none: smooth curves without an account",
    parameters=tuple(
        Parameter(
            name=f"{curve}_{knot:g}", description=f"{curve} at time {knot:g}", lower=-3.0,
            upper=4.0, logarithmic=False,
        )
        for curve in FITTED_CURVES
        for knot in KNOTS[1:-1]
    ),
)  # fmt: skip
