"""The likelihood of curves with known floors and gains, and one noise for all curves of a run.

This is the noise of accuracies with a `readout`.  They are shares of equally many sequences, so
they have one unit and about one noise; a curve that a theory misses must not count less for this.
Nor may noise be so slow that it stands for a floor (`largest_common_rho`).

With the residuals of all curves, S(rho) is the sum of squares of their whitened series, a
polynomial of degree 2 in rho.  For N samples of C curves the log likelihood is

    -N/2 log(2 pi sigma^2) - (N - C)/2 log(1 - rho^2) - S / (2 sigma^2 (1 - rho^2)) - sum log u.

It is maximised over sigma and rho, or integrated over them with the prior of `likelihood`, uniform
in rho and 1 / sigma in sigma: sigma gives 1/2 Gamma(N/2) (pi S)^(-N/2) (1 - rho^2)^(C/2).
"""

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.polynomial.polynomial import polyval
from numpy.typing import NDArray
from scipy.special import gammaln

from coopetition.fitting.likelihood import LEAST_NOISE, rho_nodes
from coopetition.fitting.noise import Noise

Array = NDArray[np.float64]

LEAST_EFFECTIVE = 20  # effective samples of a curve
PHI = np.linspace(0, 1, 65)  # grid of rho = sin(phi), as a share of the largest phi
ROUNDS = 3  # of the search for phi, each on a grid about the best of the one before


def largest_common_rho(n: int) -> float:
    """Return the largest correlation of noise, for n samples.

    They are then worth 20 independent ones, or half their number: what varies over more than a
    twentieth of a curve is taken to be the theory's misfit.
    """
    least = min(LEAST_EFFECTIVE, n / 2)
    return (n - least) / (n + least)


class Residuals(NamedTuple):
    """Sums over the residuals of the curves of a run.

    n, n_curves : samples of all curves, and curves
    largest_rho : of the curve with the fewest samples
    squares : (3,) powers of rho in S
    """

    n: int
    n_curves: int
    largest_rho: float
    squares: Array

    def deviance(self, rho: Array) -> Array:
        """Return -2 log likelihood at the best sigma, without 2 sum log u."""
        squares = polyval(rho, self.squares)
        variance = 2 * math.pi * math.e * squares / self.n
        return self.n * np.log(variance) - self.n_curves * np.log1p(-(rho**2))


def sum_residuals(curves: Iterable[tuple[Array, Array]]) -> Residuals:
    """Return the sums of residuals, given with the units of their samples."""
    squares, sizes = np.zeros(3), []
    for residual, unit in curves:
        x = residual / unit
        squares += x @ x, -2 * x[1:] @ x[:-1], x[1:-1] @ x[1:-1]
        sizes.append(len(x))
    squares[0] += sum(sizes) * LEAST_NOISE**2  # so that no sum is 0
    return Residuals(sum(sizes), len(sizes), largest_common_rho(min(sizes)), squares)


def most_likely_common_noise(residuals: Residuals) -> tuple[Noise, float]:
    """Return the noise of the largest likelihood, and the deviance there without 2 sum log u."""
    low, high = 0.0, math.asin(residuals.largest_rho)
    for _ in range(ROUNDS):
        phi = low + (high - low) * PHI
        deviances = residuals.deviance(np.sin(phi))
        best = int(np.argmin(deviances))
        low, high = phi[max(best - 1, 0)], phi[min(best + 1, len(phi) - 1)]
    rho = math.sin(phi[best])
    variance = float(polyval(rho, residuals.squares)) / (residuals.n * (1 - rho**2))
    return Noise(math.sqrt(variance), rho), float(deviances[best])


def integrate_common_noise(residuals: Residuals) -> tuple[float, Array]:
    """Return the log of the integrated likelihood times the product of u, and its parts by rho.

    The parts are the logarithms for each of `rho_nodes`.  Both are NaN if a residual is not finite.
    """
    n, n_curves, largest, squares = residuals
    rho, log_weights = rho_nodes(n, largest)
    if not np.isfinite(squares).all():
        return math.nan, np.full(len(rho), math.nan)
    parts = log_weights + (n_curves * np.log1p(-(rho**2)) - n * np.log(polyval(rho, squares))) / 2
    constant = -n / 2 * math.log(math.pi) + float(gammaln(n / 2)) - math.log(2)
    return float(np.logaddexp.reduce(parts)) + constant, parts


def draw_common_noise(rng: np.random.Generator, residuals: Sequence[Residuals]) -> Array:
    """Return sigma and rho (k, 2), drawn for each of k sums; rho is one of `rho_nodes`."""
    n, nodes = residuals[0].n, rho_nodes(residuals[0].n, residuals[0].largest_rho)[0]
    parts = np.array([integrate_common_noise(each)[1] for each in residuals])
    rho = nodes[(parts + rng.gumbel(size=parts.shape)).argmax(1)]
    squares = polyval(rho, np.array([each.squares for each in residuals]).T, tensor=False)
    sigma = np.sqrt(squares / rng.chisquare(n, len(residuals)) / (1 - rho**2))
    return np.stack([sigma, rho], 1)
