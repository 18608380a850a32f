"""Scores and calibration of forecasts: proper scores, conformal recalibration, bands for ranks.

A time is scored on a logarithmic scale and *clipped* to what is forecast: an event before the end
of the known part counts as one at that end, an event after the end of the run as one at the end of
the run.  So a run that ends before an event is scored without a bias: the CRPS of clipped times is
the threshold-weighted CRPS, which is proper (Gneiting and Ranjan 2011; Allen et al. 2023).
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import binom

from coopetition.fitting.result import LEVEL

Array = NDArray[np.float64]

BAND_LEVEL = 0.95  # of simultaneous bands
N_POINTS = 100  # at which bands are computed, at most
N_SIMULATED = 10_000  # sets of uniform ranks


def interval_score(low: ArrayLike, high: ArrayLike, value: ArrayLike) -> Array:
    """Return the interval score of intervals of `LEVEL`; lower is better, and the unit is theirs.

    The width, plus 2 / (1 - `LEVEL`) times the distance of a value outside (Gneiting and Raftery
    2007, equation 43).
    """
    low, high, value = (np.asarray(each, float) for each in (low, high, value))
    outside = np.maximum(low - value, 0) + np.maximum(value - high, 0)
    return high - low + 2 / (1 - LEVEL) * outside


def crps(sample: ArrayLike, value: float) -> float:
    """Return the continuous ranked probability score of a forecast sample; lower is better.

    E|X - value| - E|X - X'| / 2, with X and X' independent draws from the sample.
    """
    x = np.sort(np.asarray(sample, float))
    n = len(x)
    half_spread = x @ (2 * np.arange(n) - n + 1) / n**2
    return float(np.mean(np.abs(x - value)) - half_spread)


def log_clipped(times: ArrayLike, first: ArrayLike, last: ArrayLike) -> Array:
    """Return log times clipped to `first` and `last`, both above 0; infinity is never."""
    return np.log(np.clip(np.asarray(times, float), first, last))


def log_time_crps(sample: ArrayLike, time: float, first: float, last: float) -> float:
    """Return the CRPS of clipped log times; 0.1 is an error of some 10 %."""
    return crps(log_clipped(sample, first, last), float(log_clipped(time, first, last)))


def recalibrate(
    low: ArrayLike, high: ArrayLike, value: ArrayLike, groups: Sequence[str]
) -> tuple[Array, Array]:
    """Return intervals that are widened by what the other groups' forecasts were wrong by.

    Conformalized quantile regression (Romano, Patterson and Candès 2019), leaving out one group:
    the score of a forecast is how far the value lies outside its interval, negative inside.  Both
    ends move outwards by the scores' ceil((n + 1) `LEVEL`)-th smallest of the n forecasts in other
    groups.  If forecasts of all groups are exchangeable, coverage is at least `LEVEL`.  With fewer
    than 9 other forecasts the interval is infinite: they do not suffice.
    """
    low, high, value = (np.asarray(each, float) for each in (low, high, value))
    scores = np.maximum(low - value, value - high)
    labels, shift = np.array(groups), np.empty(len(scores))
    for group in dict.fromkeys(groups):
        others = np.sort(scores[labels != group])
        rank = math.ceil(round((len(others) + 1) * LEVEL, 9))
        shift[labels == group] = others[rank - 1] if rank <= len(others) else math.inf
    # an interval that narrows to less than nothing is its middle
    shift = np.maximum(shift, (low - high) / 2)
    return low - shift, high + shift


def ecdf_band(n: int, *, level: float = BAND_LEVEL) -> tuple[Array, Array, Array]:
    """Return points, and the least and greatest ECDF there of `n` ranks if they are uniform.

    The ECDF of calibrated ranks, from 0 to 1, lies inside at *all* points with probability `level`:
    at each point the band is a binomial interval, with the pointwise level for which this holds
    (Säilynoja, Bürkner and Vehtari 2022, found by simulation).
    """
    n_points = max(2, min(n, N_POINTS))
    points = np.arange(1, n_points) / n_points
    uniform = np.random.default_rng(0).random((N_SIMULATED, n))
    counts = np.stack([(uniform <= point).sum(1) for point in points], axis=1)
    below = binom.cdf(np.arange(n + 1)[:, None], n, points)
    above = binom.sf(np.arange(n + 1)[:, None] - 1, n, points)
    tails = np.minimum(below, above)
    lowest = tails[counts, np.arange(len(points))].min(axis=1)
    tail = float(np.quantile(lowest, 1 - level, method="lower"))
    allowed = tails >= tail
    return points, allowed.argmax(0) / n, (n - allowed[::-1].argmax(0)) / n


def ecdf(ranks: ArrayLike, points: Array) -> Array:
    """Return the share of ranks at or below each point."""
    ranks = np.sort(np.asarray(ranks, float))
    return np.searchsorted(ranks, points, side="right") / len(ranks)


def is_calibrated(ranks: ArrayLike, *, level: float = BAND_LEVEL) -> bool:
    """Return whether the ECDF of ranks lies inside the band everywhere."""
    points, low, high = ecdf_band(len(np.asarray(ranks)), level=level)
    share = ecdf(ranks, points)
    return bool(((low <= share) & (share <= high)).all())
