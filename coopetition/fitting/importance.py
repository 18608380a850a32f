"""Sample a posterior by adaptive multiple importance sampling (Cornuet et al. 2012).

A point u of the unit cube, in which the prior is uniform, is given by z with u = Phi(z): the prior
of z is the standard normal distribution, and there are no bounds.  Points are drawn in rounds, each
from a mixture of Student distributions about centres z_i, whose precision is that of the posterior
in the Gauss-Newton approximation,

    P_i = J_i^T J_i + 1 / reach^2,        J = d (whitened residuals) / dz at z_i.

So they are narrow across a curved valley, and follow it for a reach.  The centres of the first
round are the starts, and later ones are resampled from the points of the latest rounds, whose
weights are

    posterior / mean of the densities of these rounds.

While few points carry the weight, its logarithm is scaled down for the resampling (Koblents and
Miguez 2015).  The mean weight is the evidence.  What no start leads to can be missed.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import gammaln, logsumexp, ndtr, ndtri

from coopetition.tools.compiled_code import ensure_compiled, jit

Array = NDArray[np.float64]

DRAWS = 2500  # of a round
CENTRES = 400  # of a round
KEPT = 6  # rounds
REACHES = 0.3, 1.0  # of the centres of a round, in standard deviations of the prior
DEGREES = 5.0  # of freedom of the Student distributions
LEAST_SPREAD = 0.02  # of the weight that centres are resampled with: effective share of the points
FARTHEST = 1e-5  # from the ends of the cube, of the first centres


@dataclass(frozen=True, slots=True)
class WeightedPoints:
    """Points u (n, d) of the unit cube, and the logarithms (n,) of posterior over density.

    n_calls : of the likelihood
    """

    points: Array
    log_weights: Array
    n_calls: int

    @property
    def weights(self) -> Array:
        """The weights (n,), whose sum is 1."""
        return np.exp(self.log_weights - logsumexp(self.log_weights))

    @property
    def log_evidence(self) -> float:
        """Logarithm of the mean of the likelihood over the prior."""
        return float(logsumexp(self.log_weights)) - math.log(len(self.log_weights))

    @property
    def effective_sample_size(self) -> float:
        """Inverse of the sum of the squared weights (Kish)."""
        return float(1 / np.sum(self.weights**2))


class Mixture(NamedTuple):
    """Student distributions of equal weight.

    centres : (n, d)
    factors : (n, d, d), lower triangles L; the precisions are L L^T
    """

    centres: Array
    factors: Array

    def draw(self, rng: np.random.Generator, n: int) -> Array:
        """Return n points (n, d), as many of each distribution as possible."""
        _, d = self.centres.shape
        own = rng.permutation(np.arange(n) % len(self.centres))
        normal = rng.standard_normal((n, d, 1))
        inverse = np.linalg.inv(self.factors)[own]
        scale = np.sqrt(DEGREES / rng.chisquare(DEGREES, n))
        return self.centres[own] + scale[:, None] * (inverse.swapaxes(1, 2) @ normal)[:, :, 0]

    def log_density(self, points: Array) -> Array:
        """Return the logarithm of the density (m,) at points (m, d)."""
        n, d = self.centres.shape
        constant = gammaln((DEGREES + d) / 2) - gammaln(DEGREES / 2) - math.log(n)
        constant -= d / 2 * math.log(DEGREES * math.pi)
        logs = constant + np.log(np.diagonal(self.factors, axis1=1, axis2=2)).sum(1)
        densities = np.empty(len(points))
        arguments = self.centres, self.factors, logs, points, densities
        ensure_compiled(_log_densities, "the densities of a mixture", *arguments)(*arguments)
        return densities


class _Round(NamedTuple):
    """A mixture, points drawn from it, and the logarithm of the posterior there."""

    mixture: Mixture
    points: Array
    log_posterior: Array


def sample_by_importance(
    log_likelihood: Callable[[Array], float],
    jacobian: Callable[[Array], Array],
    starts: Array,
    rng: np.random.Generator,
    *,
    enough: float,
    max_calls: int,
    report: Callable[[WeightedPoints], None] = lambda found: None,
) -> WeightedPoints:
    """Return weighted points of the posterior under a uniform prior; see the module.

    Parameters
    ----------
    log_likelihood, jacobian : of the places u (d,) in the unit cube; the Jacobian (n, d) is that of
        whitened residuals, and need not be exact
    starts : (k, d) in the unit cube
    enough : effective sample size at which to stop
    max_calls : of the likelihood, before the last round
    report : called after each round with the points so far
    """
    z = ndtri(np.clip(starts, FARTHEST, 1 - FARTHEST))
    rounds: list[_Round] = []
    n_calls = 0
    while True:
        mixture = _local_mixture(jacobian, z)
        points = mixture.draw(rng, DRAWS)
        likelihoods = np.array([log_likelihood(u) for u in ndtr(points)])
        n_calls += DRAWS
        rounds = [*rounds, _Round(mixture, points, likelihoods + _log_prior(points))][-KEPT:]
        all_points = np.concatenate([each.points for each in rounds])
        log_weights = _log_weights(rounds, all_points)
        found = WeightedPoints(ndtr(all_points), log_weights, n_calls)
        report(found)
        if found.effective_sample_size > enough or n_calls >= max_calls:
            return found
        spread = _flatten(log_weights, LEAST_SPREAD * len(all_points))
        z = all_points[resample(rng, spread, CENTRES)]


def resample(rng: np.random.Generator, weights: Array, n: int) -> NDArray[np.int64]:
    """Return n indices, each as often as its weight says but for less than 1, in random order."""
    positions = (rng.random() + np.arange(n)) / n
    indices = np.minimum(np.searchsorted(np.cumsum(weights), positions), len(weights) - 1)
    return rng.permutation(indices)


def _local_mixture(jacobian: Callable[[Array], Array], centres: Array) -> Mixture:
    n, d = centres.shape
    distinct, which = np.unique(centres, axis=0, return_inverse=True)
    squares = np.empty((len(distinct), d, d))
    slopes = np.exp(_log_prior(distinct, axis=None))  # du / dz
    for k, (u, slope) in enumerate(zip(ndtr(distinct), slopes, strict=True)):
        own = jacobian(u) * slope
        squares[k] = own.T @ own
    reaches = np.resize(REACHES, n)
    precisions = squares[which.ravel()] + np.eye(d) / reaches[:, None, None] ** 2
    return Mixture(centres, np.linalg.cholesky(precisions))


def _log_prior(z: Array, axis: int | None = 1) -> Array:
    """Return the logarithm of the standard normal density of points, or of each coordinate."""
    logs = -(z**2) / 2 - math.log(2 * math.pi) / 2
    return logs if axis is None else logs.sum(axis)


def _log_weights(rounds: list[_Round], points: Array) -> Array:
    densities = [each.mixture.log_density(points) for each in rounds]
    mean = logsumexp(densities, axis=0) - math.log(len(rounds))
    return np.concatenate([each.log_posterior for each in rounds]) - mean


def _flatten(log_weights: Array, least: float) -> Array:
    """Return weights to the largest power, up to 1, with at least this effective sample size."""

    def weights(power: float) -> Array:
        return np.exp(power * log_weights - logsumexp(power * log_weights))

    def excess(power: float) -> float:
        return float(1 / np.sum(weights(power) ** 2)) - least

    return weights(1.0 if excess(1.0) >= 0 else brentq(excess, 0.0, 1.0, xtol=1e-3))


@jit
def _log_densities(
    centres: Array, factors: Array, logs: Array, points: Array, densities: Array
) -> None:
    """Fill the logarithm of the density of a mixture at points; `logs` has its constants."""
    n, d = centres.shape
    terms = np.empty(n)
    for k in range(len(points)):
        largest = -np.inf
        for i in range(n):
            distance = 0.0
            for column in range(d):
                total = 0.0
                for row in range(column, d):
                    total += factors[i, row, column] * (points[k, row] - centres[i, row])
                distance += total**2
            terms[i] = logs[i] - (DEGREES + d) / 2 * math.log1p(distance / DEGREES)
            largest = max(largest, terms[i])
        densities[k] = largest + math.log(np.exp(terms - largest).sum())
