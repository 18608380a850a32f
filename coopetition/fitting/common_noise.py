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
from collections.abc import Sequence
from typing import NamedTuple, Self

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
    """Sums over the residuals of the curves of a run, from which their likelihood is computed.

    n, n_curves : samples of all curves, and curves
    largest_rho : of the curve with the fewest samples
    squares : (3,) powers of rho in S
    """

    n: int
    n_curves: int
    largest_rho: float
    squares: Array

    @classmethod
    def of(cls, *curves: tuple[Array, Array, Array]) -> Self:
        """Return the sums of curves y, theories' errors f and units u."""
        squares, sizes = np.zeros(3), []
        for y, f, u in curves:
            x = (f - y) / u
            squares += x @ x, -2 * x[1:] @ x[:-1], x[1:-1] @ x[1:-1]
            sizes.append(len(x))
        squares[0] += sum(sizes) * LEAST_NOISE**2  # so that no sum is 0
        return cls(sum(sizes), len(sizes), largest_common_rho(min(sizes)), squares)

    def most_likely_noise(self) -> tuple[Noise, float]:
        """Return the noise of the largest likelihood, and its deviance without 2 sum log u."""
        low, high = 0.0, math.asin(self.largest_rho)
        for _ in range(ROUNDS):
            phi = low + (high - low) * PHI
            deviances = self._deviance(np.sin(phi))
            best = int(np.argmin(deviances))
            low, high = phi[max(best - 1, 0)], phi[min(best + 1, len(phi) - 1)]
        rho = math.sin(phi[best])
        variance = float(polyval(rho, self.squares)) / (self.n * (1 - rho**2))
        return Noise(math.sqrt(variance), rho), float(deviances[best])

    def _deviance(self, rho: Array) -> Array:
        """Return -2 log likelihood at the best sigma, without 2 sum log u."""
        variance = 2 * math.pi * math.e * polyval(rho, self.squares) / self.n
        return self.n * np.log(variance) - self.n_curves * np.log1p(-(rho**2))

    def integrate(self) -> tuple[float, Array]:
        """Return the log of the integrated likelihood times the product of u, and its parts by rho.

        The parts are the logarithms for each of `rho_nodes`.  Both are NaN if a residual is not
        finite.
        """
        rho, log_weights = rho_nodes(self.n, self.largest_rho)
        if not np.isfinite(self.squares).all():
            return math.nan, np.full(len(rho), math.nan)
        by_rho = self.n_curves * np.log1p(-(rho**2)) - self.n * np.log(polyval(rho, self.squares))
        parts = log_weights + by_rho / 2
        constant = -self.n / 2 * math.log(math.pi) + float(gammaln(self.n / 2)) - math.log(2)
        return float(np.logaddexp.reduce(parts)) + constant, parts

    @staticmethod
    def draw(rng: np.random.Generator, several: Sequence["Residuals"]) -> tuple[Array, Array]:
        """Return floor and gain (k, 2), which are 0 and 1, and sigma and rho (k, 2) of k sums.

        rho is one of `rho_nodes`.
        """
        n, nodes = several[0].n, rho_nodes(several[0].n, several[0].largest_rho)[0]
        parts = np.array([each.integrate()[1] for each in several])
        rho = nodes[(parts + rng.gumbel(size=parts.shape)).argmax(1)]
        squares = polyval(rho, np.array([each.squares for each in several]).T, tensor=False)
        sigma = np.sqrt(squares / rng.chisquare(n, len(several)) / (1 - rho**2))
        return np.tile([0.0, 1.0], (len(several), 1)), np.stack([sigma, rho], 1)
