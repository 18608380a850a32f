"""Smooth curves without a story: a cubic spline for each, in about as many numbers as the toy.

Three numbers shape each curve, which ends below where it begins, and floor and gain are two more:
what such smooth curves reach.  Beyond the last sample it goes on as a straight line.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from coopetition.compare.theory import CURVES, OUTPUTS, Parameter, Theory

Array = NDArray[np.float64]

KNOTS = np.linspace(0, 1, 5)
INNER = len(KNOTS) - 2


def _basis(times: Array) -> Array:
    """(n, knots): what each knot's value adds at each time, by natural splines."""
    within = CubicSpline(KNOTS, np.eye(len(KNOTS)), bc_type="natural")
    beyond = np.maximum(times - 1, 0)[:, None] * within(1.0, 1)
    return within(np.clip(times, 0, 1)) + beyond


@dataclass(frozen=True, eq=False, repr=False)
class Spline(Theory):
    """From 1 at the start to 0 at the end, by way of the inner knots' values."""

    name: str = "spline"
    title: str = "a cubic spline for each curve"
    source: str = "none: smooth curves without a story"
    parameters: tuple[Parameter, ...] = tuple(
        Parameter(
            name=f"{curve}_{knot:g}", what=f"of {curve} at {knot:g}", lower=-3.0, upper=4.0,
            logarithmic=False,
        )
        for curve in CURVES
        for knot in KNOTS[1:-1]
    )  # fmt: skip

    def curves(self, values: Array, times: Array) -> Array:
        """See `Theory`."""
        return self.curves_and_slopes(values, times)[0]

    def curves_and_slopes(self, values: Array, times: Array) -> tuple[Array, Array]:
        """See `Theory`; linear in the values."""
        basis = _basis(times)
        curves = np.empty((len(OUTPUTS), len(times)))
        slopes = np.zeros((len(OUTPUTS), len(times), len(values)))
        for k in range(len(CURVES)):
            own = slice(k * INNER, (k + 1) * INNER)
            slopes[k, :, own] = basis[:, 1:-1]
            curves[k] = basis[:, 0] + basis[:, 1:-1] @ values[own]
        curves[-1], slopes[-1] = curves[2] - curves[1], slopes[2] - slopes[1]
        return curves, slopes


THEORY = Spline()
