"""Residuals along a loss curve are correlated: how much, and noise that is.

A theory's residuals are not independent: what it misses at one sample it misses at the next, and
evaluations that share their sequences err together.  Of n samples, n / tau count, where

    tau = 1 + 2 (r1 + r2 + ...)

with r_k the autocorrelation at k samples' distance, summed in pairs while these are above 0, each
taken as no larger than the one before (Geyer 1992, the initial monotone sequence).  Curves of one
run err together, too: with R their residuals' correlations, c curves count as c^2 / sum R_ij^2.
"""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def autocorrelations(residual: Array) -> Array:
    """r_0 = 1, r_1, ... r_(n-1); zeros after the first where nothing is left over."""
    centred = residual - residual.mean()
    n = len(centred)
    spectrum = np.abs(np.fft.rfft(centred, 2 * n)) ** 2
    covariance = np.fft.irfft(spectrum)[:n]
    if covariance[0] <= 0:
        return np.eye(1, n)[0]
    return covariance / covariance[0]


def correlation_time(residual: Array) -> float:
    """Tau of the module, from 1 (independent samples) to n."""
    r = autocorrelations(residual)
    pairs = r[: len(r) // 2 * 2].reshape(-1, 2).sum(1)
    positive = np.minimum.accumulate(pairs)
    ends = np.flatnonzero(positive <= 0)
    kept = positive[: ends[0]] if len(ends) else positive
    return float(np.clip(2 * kept.sum() - 1, 1.0, len(r)))


def samples_that_count(residual: Array, numbers: float) -> float:
    """N / tau of residuals of a fit in which so many numbers were chosen for their curve.

    A fitted curve follows slow noise, of which less is then left in the residuals: of neighbours'
    share r, some numbers (1 + r) / n.  tau is as much longer as it is for an autoregressive noise;
    where there is no correlation to be lost, that is too much (100 samples and 5 numbers: 90).
    """
    n, tau = len(residual), correlation_time(residual)
    longer = min(tau * np.exp(numbers * (tau + 1) / n), n)
    return float(n / longer)


def curves_that_count(residuals: Array) -> float:
    """How many independent curves the residuals (curves, n) of one run are worth; NaN: unknown."""
    common = residuals[:, np.isfinite(residuals).all(0)]
    if len(residuals) == 1 or common.shape[1] < 3 or (common.std(1) == 0).any():
        return float(len(residuals))
    return float(len(residuals) ** 2 / np.sum(np.corrcoef(common) ** 2))


def correlated_noise(rng: np.random.Generator, n: int, correlation: float) -> Array:
    """Normal noise of variance 1, autoregressive: e_k = correlation e_(k-1) + what is fresh."""
    fresh = rng.standard_normal(n)
    noise = np.empty(n)
    noise[0] = fresh[0]
    for k in range(1, n):
        noise[k] = correlation * noise[k - 1] + np.sqrt(1 - correlation**2) * fresh[k]
    return noise
