"""Correlated residuals: their effective sample size, and noise like them.

Residuals of neighbouring samples of a loss curve are correlated: the theory's error changes slowly,
and evaluations share their sequences.  So n samples are worth n / tau independent ones, where

    tau = 1 + 2 (r1 + r2 + ...)

with r_k the autocorrelation at a distance of k samples, summed in pairs while these are above 0,
each taken as no larger than the one before (Geyer 1992, the initial monotone sequence).  Curves of
one run are correlated, too: with R the correlations of their residuals, c curves are worth
c^2 / sum R_ij^2 independent ones.
"""

import numpy as np
from emcee.autocorr import function_1d
from numpy.typing import NDArray
from scipy.signal import lfilter

Array = NDArray[np.float64]


def autocorrelations(residual: Array) -> Array:
    """Return r_0 = 1, r_1, ... r_(n-1); zeros after r_0 if the residuals are constant."""
    if not np.ptp(residual) > 0:
        return np.eye(1, len(residual))[0]
    return function_1d(residual)


def correlation_time(residual: Array) -> float:
    """Return tau of the module, from 1 (independent samples) to n."""
    r = autocorrelations(residual)
    pairs = r[: len(r) // 2 * 2].reshape(-1, 2).sum(1)
    monotone = np.minimum.accumulate(pairs)
    return float(np.clip(2 * monotone[monotone > 0].sum() - 1, 1.0, len(r)))


def effective_sample_size(residual: Array, n_fitted: float) -> float:
    """Return n / tau of residuals of a curve to which so many numbers were fitted.

    A fitted curve follows slow noise, so less of it is left in the residuals: with a correlation r
    of neighbours, some n_fitted (1 + r) / n.  tau is increased by what autoregressive noise loses;
    for independent noise that is too much (100 samples and 5 numbers: 90).
    """
    n, tau = len(residual), correlation_time(residual)
    return float(n / min(tau * np.exp(n_fitted * (tau + 1) / n), n))


def effective_n_curves(residuals: Array) -> float:
    """Return the number of independent curves that residuals (curves, n) of one run are worth.

    Unknown residuals are NaN.
    """
    common = residuals[:, np.isfinite(residuals).all(0)]
    if len(residuals) == 1 or common.shape[1] < 3 or (common.std(1) == 0).any():
        return float(len(residuals))
    return float(len(residuals) ** 2 / np.sum(np.corrcoef(common) ** 2))


def correlated_noise(rng: np.random.Generator, n: int, correlation: float) -> Array:
    """Return normal noise of variance 1: e_k = correlation e_(k-1) + independent noise."""
    independent = rng.standard_normal(n)
    scale = np.sqrt(1 - correlation**2)
    noise, _ = lfilter([scale], [1, -correlation], independent, zi=[(1 - scale) * independent[0]])
    return noise
