"""How a theory's error is observed: as a floor plus a gain times it, with noise.

A measured curve is taken to be an affine function of the theory's error of the same name, plus
noise of its own standard deviation and correlation (`noise`, `likelihood`),

    measured = floor + gain x error + noise,        floor >= 0, gain >= 0,

where a loss is used as it is, in nats, and an accuracy as 1 minus the accuracy.  So a theory must
explain the shape of curves and their relation in time, not their height.  (With a `readout`, floor
is 0 and gain is 1.)

Residuals are whitened: divided by the standard deviation of their noise, which is proportional to
those of the samples if they are known, and freed of its correlation.  For known noise, the maximum
of the likelihood is then the minimum of the sum of squares.
"""

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from coopetition.fitting.noise import whiten_in_place
from coopetition.tools.compiled_code import ensure_compiled, jit

Array = NDArray[np.float64]
Whitened = tuple[Array, float, Array, Array]  # unit and rho; then curve and constant, whitened

FLAT = 1e-6  # deviation of an error (of order 1 before learning) below which it has no shape
ACCURACY = "accuracy"  # in a metric's name


def to_errors(values: Array, metric: str) -> Array:
    """Return measured values as errors, or errors as measured values."""
    return 1 - values if ACCURACY in metric else values


class Observed(NamedTuple):
    """A theory's curve as observed: floor and gain, whitened residuals (n,), their Jacobian (n, p).

    Residuals are fitted minus measured values.
    """

    floor: float
    gain: float
    residual: Array
    jacobian: Array


@jit
def fit_floor_gain(y: Array, f: Array, df: Array, one: Array, least_gain: float = 0.0) -> Observed:
    """Return floor and gain, neither negative, that bring an error f (n,) closest to y (n,).

    They minimise the sum of squares of floor x one + gain f - y, where `one` is a constant, and all
    series are whitened.  The Jacobian (n, p) is exact (variable projection), from that of the error
    df (n, p).  An error that is not finite gives NaN.

    A curve whose gain is 0 has a Jacobian of 0, so that a fit cannot leave it.  With `least_gain`
    above 0, gain x error has at least this share of y's deviation, and the Jacobian leads to errors
    that correlate with y (the floor may then be negative).
    """
    if not np.isfinite(f).all():
        return Observed(np.nan, np.nan, np.full(len(y), np.nan), np.zeros_like(df))
    size = one @ one
    mean_f, mean_y = one @ f / size, one @ y / size
    centred_f, centred_y = f - mean_f * one, y - mean_y * one
    power = centred_f @ centred_f
    gain = centred_f @ centred_y / power if power > 0 else 0.0
    has_shape = power > FLAT**2 * size
    lowest = least_gain * np.sqrt(centred_y @ centred_y / power) if has_shape else 0.0
    is_lifted = max(gain, 0.0) < lowest
    if is_lifted:
        gain = lowest
    floor = mean_y - gain * mean_f
    d_gain = d_floor = np.zeros(df.shape[1])
    if is_lifted or (gain > 0 and floor >= 0):
        along = -gain * centred_f if is_lifted else centred_y - 2 * gain * centred_f
        d_gain = along @ df / power
        d_floor = -d_gain * mean_f - gain * (one @ df / size)
    elif gain <= 0 <= mean_y:
        floor, gain = mean_y, 0.0
    else:
        floor, power = 0.0, f @ f
        gain = max(f @ y, 0.0) / power if power > 0 else 0.0
        if gain > 0:
            d_gain = (y - 2 * gain * f) @ df / power
    jacobian = gain * df
    for k in range(len(f)):
        for q in range(len(d_gain)):
            jacobian[k, q] += one[k] * d_floor[q] + f[k] * d_gain[q]
    return Observed(float(floor), float(gain), floor * one + gain * f - y, jacobian)


@jit
def _observe(
    f: Array,
    df: Array,
    known: NDArray[np.bool_],
    whitened: Whitened,
    least_gain: float,
    has_levels: bool,
) -> Observed:
    """Return an error and its Jacobian as observed in known samples, in units of their noise."""
    unit, rho, y, one = whitened
    f, df = f[known] / unit, df[known] / unit[:, None]
    whiten_in_place(f.reshape(-1, 1), rho)
    whiten_in_place(df, rho)
    if not has_levels:
        return Observed(0.0, 1.0, f - y, df)
    return fit_floor_gain(y, f, df, one, least_gain)


@cache
def compiled_observe() -> Callable[..., Observed]:
    """Return `_observe`, compiled."""
    x, slopes, known = np.zeros(1), np.zeros((1, 1)), np.ones(1, bool)
    return ensure_compiled(_observe, "least squares", x, slopes, known, (x, 0.5, x, x), 0.0, True)
