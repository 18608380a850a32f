"""The noise of a curve: an autoregressive series of samples, each correlated with the one before.

Neighbouring samples of a loss curve have similar errors: the theory's own error changes slowly, and
evaluations share their sequences.  The noise of sample k is sigma u_k z_k, where u_k is the
standard deviation of the sample relative to the others (1 if it is unknown), and z is an
autoregressive series of order 1, of variance 1 and correlation rho:

    z_k = rho z_(k-1) + e_k,        e_k independent, of variance 1 - rho^2
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from coopetition.tools.compiled_code import jit

Array = NDArray[np.float64]


class Noise(NamedTuple):
    """Standard deviation and correlation of neighbouring samples of a curve's noise."""

    sigma: float
    rho: float


def whiten(z: Array, rho: float) -> Array:
    """Return e of the module, (n, ...): independent if z has the correlation rho.

    The first entry is scaled so that all have variance 1 - rho^2.
    """
    e = np.array(z, float, order="C")
    whiten_in_place(e.reshape(len(e), -1), rho)
    return e


@jit
def whiten_in_place(z: Array, rho: float) -> None:
    """Replace z (n, k) by its e."""
    for k in range(z.shape[1]):
        for i in range(len(z) - 1, 0, -1):
            z[i, k] -= rho * z[i - 1, k]
        z[0, k] *= math.sqrt(1 - rho**2)


def autocorrelations(residual: Array) -> Array:
    """Return r_0 = 1, r_1, ... r_(n-1); zeros after r_0 if the residuals are constant."""
    centred = residual - residual.mean()
    if not np.ptp(residual) > 0:
        return np.eye(1, len(residual))[0]
    r = np.correlate(centred, centred, "full")[len(residual) - 1 :]
    return r / r[0]


def effective_sample_size(n: int, rho: float) -> float:
    """Return the number of independent samples whose mean is as certain as that of n samples."""
    return n * (1 - rho) / (1 + rho)


def correlated_noise(rng: np.random.Generator, n: int, correlation: float) -> Array:
    """Return n entries of z of the module."""
    independent = rng.standard_normal(n)
    scale = np.sqrt(1 - correlation**2)
    noise, _ = lfilter([scale], [1, -correlation], independent, zi=[(1 - scale) * independent[0]])
    return noise
