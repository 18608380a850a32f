"""When curves cross levels: the time points by which both theory and training runs are read."""

import math

import numpy as np
from numpy.typing import ArrayLike


def crossing_time(
    times: ArrayLike, values: ArrayLike, level: float, *, rising: bool, after: float = -math.inf
) -> float | None:
    """First time after `after` at which a curve crosses `level` in the given direction.

    Linear between samples; None if it never does.  A curve that already lies beyond the level at
    its first sample has not crossed it until it has been on the other side.
    """
    times, values = np.asarray(times, float), np.asarray(values, float)
    known = np.isfinite(values) & (times >= after)
    times, values = times[known], values[known]
    distance = values - level if rising else level - values
    crossed = np.flatnonzero((distance[:-1] < 0) & (distance[1:] >= 0))
    if not len(crossed):
        return None
    k = crossed[0]
    part = distance[k] / (distance[k] - distance[k + 1])
    return float(times[k] + part * (times[k + 1] - times[k]))
