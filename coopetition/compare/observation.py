"""How a theory is seen in measured curves.

Each measured curve is taken to be an affine function of the theory's error of the same name,

    measured = floor + gain x error,        floor >= 0, gain >= 0,

a loss in nats as it is, an accuracy as what is missing to 1.  So a theory answers for the shape of
curves and for how they hang together in time, not for their height.  Time is linear in sequences
seen: the learning rate is taken to be constant.  What no theory here knows is the early phase in
which a network learns to answer with a label in context; it is left out (`Curves.between`,
`--from`), by the rule of nine tenths of the time of emergence where accuracies tell that.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

FLAT = 1e-6  # deviation of an error, of order 1 where nothing is learnt: less has no shape
ACCURACY = "accuracy"  # in a metric's name: what is missing to 1 is seen


@dataclass(frozen=True, slots=True)
class Seen:
    """A curve as it is best seen: floor and gain, residuals (n,) and their slopes (n, p)."""

    floor: float
    gain: float
    residual: Array
    slopes: Array


def errors_of(values: Array, metric: str) -> Array:
    """Measured values as errors."""
    return 1 - values if ACCURACY in metric else values


def seen(y: Array, f: Array, df: Array, weight: Array, *, least: float = 0.0) -> Seen:
    """The floor and gain that bring an error f (n,) closest to y (n,), neither negative.

    Closest is the least sum of squares of weight (n,) times the residual floor + gain f - y.  Its
    slopes (n, p) are those by the theory's parameters, of which df (n, p) are the error's: floor
    and gain follow (variable projection, exactly).  An error that is not finite, as where a theory
    cannot be computed, is seen as NaN.

    A curve whose gain is 0 has no slopes: nothing tells how to explain it.  With `least` above 0,
    gain x error has at least this share of y's deviation, and its slopes lead to errors that go
    with y (the floor may then be negative).
    """
    if not np.isfinite(f).all():
        nothing = np.full(len(y), np.nan)
        return Seen(np.nan, np.nan, nothing, np.zeros_like(df))
    share = weight**2 / (weight @ weight)
    mean_f, mean_y, mean_df = share @ f, share @ y, share @ df
    centred, of_y, slopes = f - mean_f, y - mean_y, df - mean_df
    power = share @ centred**2
    gain = (share * centred) @ of_y / power if power > 0 else 0.0
    lowest = least * np.sqrt(share @ of_y**2 / power) if power > FLAT**2 else 0.0
    if max(gain, 0.0) < lowest:
        d_lowest = -lowest / power * ((share * centred) @ slopes)
        residual = lowest * centred - of_y
        moved = np.outer(centred, d_lowest) + lowest * slopes
        return Seen(float(mean_y - lowest * mean_f), float(lowest), residual, moved)
    if gain <= 0 <= mean_y:
        return Seen(float(mean_y), 0.0, mean_y - y, np.zeros_like(df))
    floor = mean_y - gain * mean_f
    if gain > 0 and floor >= 0:
        d_gain = ((share * of_y) @ slopes - 2 * gain * ((share * centred) @ slopes)) / power
        d_floor = -d_gain * mean_f - gain * mean_df
    else:
        floor, power = 0.0, share @ f**2
        gain = max((share * f) @ y, 0.0) / power if power > 0 else 0.0
        d_gain = np.zeros(df.shape[1])
        if gain > 0:
            d_gain = ((share * y) @ df - 2 * gain * ((share * f) @ df)) / power
        d_floor = np.zeros(df.shape[1])
    residual = floor + gain * f - y
    return Seen(float(floor), float(gain), residual, d_floor + np.outer(f, d_gain) + gain * df)
