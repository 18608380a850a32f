"""Sample a posterior that lies in a thin and curved valley, by adaptive importance sampling.

A point u of the unit cube, in which the prior is uniform, is given by z with u = Phi(z): the prior
of z is the standard normal distribution.  Curves fix some coordinates, the stiff ones s, narrowly
as functions of the others, the loose ones y.  So a point is drawn in two steps:

1. y from a mixture of Student distributions about centres;
2. s from a Student distribution about s*(y), the bottom of the valley, where the posterior is
   largest for this y in the Gauss-Newton approximation; its precision is J^T J + 1, with J the
   derivative of the whitened residuals by s.

Some y have several bottoms.  So centres are of branches b, each with its share q_b of the mixture,
and the density of a point is

    q(y, s) = sum over b of q_b(y) t(s; s*_b(y)).

A point's weight is the posterior over q, and the mean weight is the evidence.  s*_b(y) is found by
a few damped Gauss-Newton steps from the nearest centre of the branch; within a round it is a
function of y alone, so weights are right also where these steps do not reach the bottom.

Rounds explore the valley: the centres of the first are the starts, and those of the next are
resampled by weight (population Monte Carlo, Cappe et al. 2004).  While few points carry the weight,
its logarithm is scaled down for this (Koblents and Miguez 2015).  When the weight is spread enough,
the centres are kept, and all points from then on are the sample.  If one of these points has much
of the weight, the mixture has too little density near it: exploring goes on from there, and the
sample is drawn anew.  The evidence is then too low if the new mixture misses this place again.

Loose coordinates end at `MAX_COORDINATE`, which leaves out 7e-6 of the prior of each.  The sampler
misses valleys that no start leads to, and a third bottom at the same y.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.lapack import dgeqrf, dtrtrs  # pyright: ignore[reportAttributeAccessIssue]
from scipy.optimize import brentq
from scipy.sparse.csgraph import connected_components
from scipy.spatial import KDTree
from scipy.special import gammaln, logsumexp, ndtr, ndtri

from coopetition.tools.compiled_code import ensure_compiled, jit

Array = NDArray[np.float64]
Indices = NDArray[np.int64]

STIFF_DEVIATION = 0.03  # of a coordinate given the looser ones, below which it is stiff
ROUND_SIZE = 1000  # points
N_CENTRES = 200  # of a round
CENTRE_REACHES = 0.2, 0.5, 2.0  # standard deviations of the prior
DEGREES = 5.0  # of freedom of the Student distributions
N_REMEMBERED = 3  # rounds that centres are resampled from
EXPLORED_SHARE = 0.1  # effective share of a round's points at which exploring ends
RESAMPLED_SHARE = 0.02  # the same, of the weights that centres are resampled with
MIN_ROUNDS = 2  # of the sample
MAX_WEIGHT = 0.1  # share of one point, above which the sample is drawn anew
MAX_EXPLORING = 0.5  # share of the evaluations after which exploring ends
MAX_LINKED = 40  # bottoms between which ways are tried
N_NEIGHBOURS = 10  # of each bottom
N_PARTS = 4  # of the way to a neighbour
SAME_DISTANCE = 3.0  # standard deviations of s within which two bottoms are one
MAX_BRANCHES = 2
MAX_STEPS = 20  # to the bottom
MAX_STEP = 0.5  # of a coordinate
REACHED_DECREASE = 0.02  # predicted decrease of the deviance below which the bottom is reached
ABANDONED_EXCESS = 60.0  # deviance above that of the lowest known bottom
MIN_DECREASE = 0.25  # least share of this excess that a step must be predicted to remove
MAX_COORDINATE = 4.5
MAX_START = 2.5  # coordinate of a start


@dataclass(frozen=True, slots=True)
class WeightedPoints:
    """Points u (n, d) of the unit cube, and the logarithms (n,) of posterior over density."""

    points: Array
    log_weights: Array

    def with_others(self, other: Self) -> Self:
        """Return these points and others, drawn from the same density or from another."""
        points = np.concatenate([self.points, other.points])
        return type(self)(points, np.concatenate([self.log_weights, other.log_weights]))

    @property
    def weights(self) -> Array:
        """The weights (n,), whose sum is 1."""
        return np.exp(self.log_weights - logsumexp(self.log_weights))

    @property
    def log_evidence(self) -> float:
        """Logarithm of the mean of the likelihood over the prior."""
        total: Any = logsumexp(self.log_weights)
        return float(total) - math.log(len(self.log_weights))

    @property
    def effective_sample_size(self) -> float:
        """Inverse of the sum of the squared weights (Kish)."""
        return float(1 / np.sum(self.weights**2))


class Bottom(NamedTuple):
    """A place z (d,) at or near the bottom of the valley.

    deviance : sum of squares of residuals and z
    factor : (stiff, stiff), upper triangle R; the precision of s is R^T R
    slope : ds*/dy (stiff, loose)
    precision : (loose, loose), of y
    """

    z: Array
    deviance: float
    factor: Array
    slope: Array
    precision: Array


class Valley:
    """The valley of a posterior, see the module; counts the evaluations of its residuals.

    stiff, loose : indices of coordinates
    least : deviance of the lowest place that is known
    """

    def __init__(
        self, residuals_and_jacobian: Callable[[Array], tuple[Array, Array]], best: Array
    ) -> None:
        self._residuals_and_jacobian = residuals_and_jacobian
        self.n_calls = 0
        self._order = np.arange(len(best))
        triangle, self.least = self._evaluate(best)
        self.stiff, self.loose = _split(triangle[:, :-1])
        self._order = np.concatenate([self.stiff, self.loose])

    def _evaluate(self, z: Array) -> tuple[Array, float]:
        """Return derivatives and residuals, with those of the prior, and the deviance at z.

        They are given by R (d + 1, d + 1) of their QR decomposition; its columns are derivatives by
        the stiff coordinates, those by the loose ones, and the residuals.
        """
        self.n_calls += 1
        residuals, jacobian = self._residuals_and_jacobian(ndtr(z))
        slopes = np.exp(_log_normal(z))  # du / dz
        derivatives = np.vstack([jacobian * slopes, np.eye(len(z))])[:, self._order]
        residuals = np.append(residuals, z)
        triangle = _triangle_of(np.column_stack([derivatives, residuals]))
        return triangle, float(residuals @ residuals)

    def bottom(self, z: Array) -> Bottom:
        """Return the bottom that damped Gauss-Newton steps lead to from z."""
        (triangle, deviance), damping, k = self._evaluate(z), 0.0, len(self.stiff)
        for _ in range(MAX_STEPS):
            step, predicted = _step(triangle[:k, :k], triangle[:k, -1], damping)
            excess = deviance - self.least - ABANDONED_EXCESS
            is_hopeless = predicted < MIN_DECREASE * excess
            if (predicted < REACHED_DECREASE and not damping) or is_hopeless:
                break
            moved = z.copy()
            moved[self.stiff] += np.clip(step, -MAX_STEP, MAX_STEP)
            moved = np.clip(moved, -MAX_COORDINATE, MAX_COORDINATE)
            other, lower = self._evaluate(moved)
            if lower <= deviance:
                z, deviance, triangle = moved, lower, other
                damping = 0.0 if damping < 1e-4 else damping / 10
            else:
                damping = max(10 * damping, 1e-3)
        factor, across = triangle[:k, :k], triangle[k:, k:-1]
        slope = _solve(factor, -triangle[:k, k:-1])
        return Bottom(z, deviance, factor, slope, across.T @ across)

    def bottom_at(self, y: Array, near: Bottom) -> Bottom:
        """Return the bottom at loose coordinates y, from another bottom."""
        z = near.z.copy()
        step = near.slope @ (y - z[self.loose])
        z[self.stiff] += np.clip(step, -2 * MAX_STEP, 2 * MAX_STEP)
        z[self.loose] = y
        return self.bottom(np.clip(z, -MAX_COORDINATE, MAX_COORDINATE))

    def distance(self, start: Bottom, end: Bottom) -> float:
        """Return how far from a bottom a way along the valley ends, in standard deviations of s."""
        bottom, first, last = start, start.z[self.loose], end.z[self.loose]
        for share in np.arange(1, N_PARTS + 1) / N_PARTS:
            bottom = self.bottom_at(first + share * (last - first), bottom)
        return float(np.linalg.norm(end.factor @ (bottom.z - end.z)[self.stiff]))


def _split(jacobian: Array) -> tuple[Indices, Indices]:
    """Return stiff and loose coordinates, by QR with pivots; at least one is loose."""
    left, loose, stiff = jacobian.copy(), list(range(jacobian.shape[1])), []
    while len(loose) > 1:
        lengths = np.linalg.norm(left[:, loose], axis=0)
        if lengths.max() < 1 / STIFF_DEVIATION:
            break
        stiff.append(loose.pop(int(lengths.argmax())))
        direction = left[:, stiff[-1]] / lengths.max()
        left -= np.outer(direction, direction @ left)
    return np.array(stiff, int), np.array(loose, int)


def _step(factor: Array, residuals: Array, damping: float) -> tuple[Array, float]:
    """Return a damped Gauss-Newton step, and the fall of the sum of squares that it predicts.

    factor, residuals : of a triangle, for the stiff coordinates
    """
    if damping:
        lengths = math.sqrt(damping) * np.linalg.norm(factor, axis=0)
        columns = np.column_stack([factor, residuals])
        columns = np.vstack([columns, np.eye(*columns.shape) * [*lengths, 0.0]])
        triangle = _triangle_of(columns)
        factor, residuals = triangle[:-1, :-1], triangle[:-1, -1]
    return _solve(factor, -residuals), float(residuals @ residuals)


def _triangle_of(columns: Array) -> Array:
    """Return R (d, d) of the QR decomposition of columns (n, d), with n at least d."""
    return np.triu(dgeqrf(columns)[0][: columns.shape[1]])


def _solve(factor: Array, right: Array) -> Array:
    """Return the solution x of factor @ x = right, for an upper triangle."""
    return dtrtrs(factor, right)[0] if right.size else right


class Centres:
    """Bottoms as centres of a mixture of Student distributions of y; they can be equal.

    branch : (n,) of each centre; see `find_branches`
    """

    def __init__(self, valley: Valley, bottoms: Sequence[Bottom], branch: Indices) -> None:
        self._valley, self._bottoms, self._branch = valley, bottoms, branch
        self._y = np.array([each.z[valley.loose] for each in bottoms])
        reaches = np.resize(CENTRE_REACHES, len(bottoms))
        narrower = np.eye(len(valley.loose)) / reaches[:, None, None] ** 2
        precisions = np.array([each.precision for each in bottoms]) + narrower
        self._factors = np.linalg.cholesky(precisions)  # lower triangles L; precisions are L L^T
        self._members = {each: np.flatnonzero(branch == each) for each in np.unique(branch)}

    def draw(self, rng: np.random.Generator, log_likelihood: Callable[[Array], float]) -> "Round":
        """Return a round of points."""
        n, stiff = ROUND_SIZE, self._valley.stiff
        own = rng.permutation(np.arange(n) % len(self._y))
        steps = _draw_student(rng, n, self._y.shape[1])
        y = self._y[own]
        y += np.linalg.solve(self._factors[own].swapaxes(1, 2), steps[:, :, None])[:, :, 0]
        steps = _draw_student(rng, n, len(stiff))
        branches = {each: self._bottoms_of(members, y) for each, members in self._members.items()}
        log_densities = np.array([self._log_densities(each, y) for each in self._members.values()])
        bottoms = [branches[self._branch[i]][k] for k, i in enumerate(own)]
        points = np.array([each.z for each in bottoms])
        factors = np.array([each.factor for each in bottoms])
        points[:, stiff] += np.linalg.solve(factors, steps[:, :, None])[:, :, 0]
        log_posteriors = np.array([log_likelihood(u) for u in ndtr(points)])
        log_posteriors += _log_normal(points).sum(1)
        for row, each in zip(log_densities, branches.values(), strict=True):
            places = np.array([bottom.z for bottom in each])
            factors = np.array([bottom.factor for bottom in each])
            row += _log_student(factors, (points - places)[:, stiff])
        log_weights = log_posteriors - logsumexp(log_densities, axis=0)
        log_weights[(np.abs(y) > MAX_COORDINATE).any(axis=1)] = -np.inf
        return Round(bottoms, self._branch[own], WeightedPoints(ndtr(points), log_weights))

    def _bottoms_of(self, members: Indices, y: Array) -> list[Bottom]:
        """Return the bottoms at y (n, loose) that are found from the nearest of some centres."""
        nearest = members[_nearest(self._y[members], y)[:, 0]]
        return [
            self._valley.bottom_at(each, self._bottoms[i])
            for each, i in zip(y, nearest, strict=True)
        ]

    def _log_densities(self, members: Indices, y: Array) -> Array:
        """Return the logarithms of the densities at y (n, loose), of the part of some centres."""
        centres, factors = self._y[members], self._factors[members]
        constants = np.log(np.diagonal(factors, axis1=1, axis2=2)).sum(1)
        constants += _log_constant(y.shape[1]) - math.log(len(self._y))
        densities = np.empty(len(y))
        arguments = centres, factors, constants, y, densities
        ensure_compiled(_mix, "the densities of a mixture", *arguments)(*arguments)
        return densities


def find_branches(valley: Valley, bottoms: Sequence[Bottom]) -> Indices:
    """Return the branch (n,) of each bottom: some y can have several bottoms.

    Two bottoms are of one branch if the way along the valley from one to the y of the other ends
    near it.  This is tried for `MAX_LINKED` of them.  All are then counted to that of the
    `MAX_BRANCHES` largest branches from which a way ends nearest to them.
    """
    if not len(valley.stiff):
        return np.zeros(len(bottoms), int)
    places, first, which = np.unique(
        np.array([each.z for each in bottoms]), axis=0, return_index=True, return_inverse=True
    )
    distinct = [bottoms[i] for i in first]  # centres can be equal
    tried = np.unique(np.linspace(0, len(distinct) - 1, MAX_LINKED).astype(int))
    some, y = [distinct[i] for i in tried], places[tried][:, valley.loose]
    linked = np.zeros((len(some), len(some)), bool)
    for row, start, neighbours in zip(linked, some, _nearest(y, y, N_NEIGHBOURS + 1), strict=True):
        for j in neighbours[1:]:  # the first is the bottom itself
            row[j] = valley.distance(start, some[j]) < SAME_DISTANCE
    found = connected_components(linked)[1]
    largest = np.argsort(-np.bincount(found), kind="stable")[:MAX_BRANCHES]
    if len(largest) == 1:
        return np.zeros(len(bottoms), int)
    distances = np.empty((len(largest), len(distinct)))
    for row, label in zip(distances, largest, strict=True):
        own = np.flatnonzero(found == label)
        nearest = own[_nearest(y[own], places[:, valley.loose])[:, 0]]
        row[:] = [valley.distance(some[i], end) for i, end in zip(nearest, distinct, strict=True)]
    return distances.argmin(0)[which.ravel()]


def _nearest(points: Array, places: Array, n: int = 1) -> Indices:
    """Return the indices (m, n) of the points that are nearest to places (m, d)."""
    tree: Any = KDTree(points)  # its types know one n only
    return tree.query(places, k=np.arange(min(n, len(points))) + 1)[1]


class Round(NamedTuple):
    """Points of a round, and the bottoms that they were drawn about, with their branches."""

    bottoms: list[Bottom]
    branch: Indices
    drawn: WeightedPoints


def sample_by_importance(
    log_likelihood: Callable[[Array], float],
    residuals_and_jacobian: Callable[[Array], tuple[Array, Array]],
    starts: Array,
    rng: np.random.Generator,
    *,
    enough: float,
    max_calls: int,
    report: Callable[[int, float], None] = lambda n_calls, size: None,
) -> WeightedPoints:
    """Return weighted points of the posterior under a uniform prior; see the module.

    Parameters
    ----------
    log_likelihood, residuals_and_jacobian : of places u (d,) in the unit cube; residuals are those
        of the likelihood for some fixed noise, whitened
    starts : (k, d) in the unit cube, the best first
    enough : effective sample size at which to stop
    max_calls : evaluations of residuals, before the last round; half of them may explore.  There
        are fewer evaluations of the likelihood
    report : called after each round with the evaluations so far and the effective sample size; 0
        while exploring
    """
    z = np.clip(ndtri(starts), -MAX_START, MAX_START)
    valley = Valley(residuals_and_jacobian, z[0])
    rounds = _explore(valley, z, rng, log_likelihood, MAX_EXPLORING * max_calls, report)
    while True:
        centres, drawn = _best_centres(valley, rounds, rng), None
        for n_rounds in itertools.count(1):
            new = centres.draw(rng, log_likelihood)
            drawn = drawn.with_others(new.drawn) if drawn else new.drawn
            size = drawn.effective_sample_size
            report(valley.n_calls, size)
            may_explore = valley.n_calls < MAX_EXPLORING * max_calls
            if drawn.weights.max() > MAX_WEIGHT and may_explore:
                break
            if n_rounds >= MIN_ROUNDS and (size > enough or valley.n_calls > max_calls):
                return drawn
        rounds = [*rounds[1:], new]


def _explore(
    valley: Valley,
    starts: Array,
    rng: np.random.Generator,
    log_likelihood: Callable[[Array], float],
    max_calls: float,
    report: Callable[[int, float], None],
) -> list["Round"]:
    """Return the last rounds of exploring, from starts z (k, d)."""
    bottoms = [valley.bottom(each) for each in starts]
    weights, branch = np.full(len(starts), 1 / len(starts)), find_branches(valley, bottoms)
    rounds: list[Round] = []
    while True:
        kept = resample(rng, weights, N_CENTRES)
        centres = Centres(valley, [bottoms[i] for i in kept], branch[kept])
        new = centres.draw(rng, log_likelihood)
        report(valley.n_calls, 0.0)
        rounds = [*rounds, new][-N_REMEMBERED:]
        share = new.drawn.effective_sample_size / ROUND_SIZE
        is_spread = share > EXPLORED_SHARE and len(rounds) == N_REMEMBERED
        if is_spread or valley.n_calls >= max_calls:
            return rounds
        bottoms = [bottom for each in rounds for bottom in each.bottoms]
        branch = np.concatenate([each.branch for each in rounds])
        valley.least = min(valley.least, *(each.deviance for each in new.bottoms))
        weights = _resampling_weights(rounds)


def _best_centres(valley: Valley, rounds: Sequence["Round"], rng: np.random.Generator) -> Centres:
    """Return centres at the bottoms below points of some rounds, which are resampled by weight.

    A point can be above another bottom than the one that it was drawn about.
    """
    points = np.concatenate([each.drawn.points for each in rounds])
    chosen, which = np.unique(
        resample(rng, _resampling_weights(rounds), N_CENTRES), return_inverse=True
    )
    z = np.clip(ndtri(points[chosen]), -MAX_COORDINATE, MAX_COORDINATE)
    distinct = [valley.bottom(each) for each in z]
    valley.least = min(valley.least, *(each.deviance for each in distinct))
    bottoms = [distinct[i] for i in which]
    return Centres(valley, bottoms, find_branches(valley, bottoms))


def _resampling_weights(rounds: Sequence["Round"]) -> Array:
    """Return the weights that the points of all rounds are resampled with."""
    return np.concatenate([_temper(each.drawn.log_weights) for each in rounds]) / len(rounds)


def resample(rng: np.random.Generator, weights: Array, n: int) -> Indices:
    """Return n indices in random order; their counts differ from n x weight by less than 1."""
    positions = (rng.random() + np.arange(n)) / n
    indices = np.minimum(np.searchsorted(np.cumsum(weights), positions), len(weights) - 1)
    return rng.permutation(indices)


def _temper(log_weights: Array) -> Array:
    """Return weights to the largest power, up to 1, of effective share `RESAMPLED_SHARE`."""
    possible = np.isfinite(log_weights)
    least = min(RESAMPLED_SHARE * len(log_weights), possible.sum())

    def weights(power: float) -> Array:
        scaled = np.where(possible, power * np.where(possible, log_weights, 0), -np.inf)
        return np.exp(scaled - logsumexp(scaled))

    def excess(power: float) -> float:
        return float(1 / np.sum(weights(power) ** 2)) - least

    power: Any = 1.0 if excess(1.0) >= 0 else brentq(excess, 0.0, 1.0, xtol=1e-6)
    return weights(power)


def _log_normal(z: Array) -> Array:
    """Return the logarithm of the standard normal density of each coordinate."""
    return -(z**2) / 2 - math.log(2 * math.pi) / 2


def _draw_student(rng: np.random.Generator, n: int, d: int) -> Array:
    """Return n points (n, d) of a Student distribution about 0, of precision 1."""
    return rng.standard_normal((n, d)) * np.sqrt(DEGREES / rng.chisquare(DEGREES, n))[:, None]


def _log_student(factors: Array, steps: Array) -> Array:
    """Return the log densities (n,) of Student distributions at steps (n, d) from their centres."""
    bulks = np.log(np.abs(np.diagonal(factors, axis1=1, axis2=2))).sum(1)
    scaled = (factors @ steps[:, :, None])[:, :, 0]
    d = steps.shape[1]
    return bulks + _log_constant(d) - (DEGREES + d) / 2 * np.log1p((scaled**2).sum(1) / DEGREES)


def _log_constant(d: int) -> float:
    own = gammaln((DEGREES + d) / 2) - gammaln(DEGREES / 2)
    return float(own) - d / 2 * math.log(DEGREES * math.pi)


@jit
def _mix(centres: Array, factors: Array, constants: Array, points: Array, densities: Array) -> None:
    """Fill the logarithm of the density of a mixture at points."""
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
            terms[i] = constants[i] - (DEGREES + d) / 2 * math.log1p(distance / DEGREES)
            largest = max(largest, terms[i])
        densities[k] = largest + math.log(np.exp(terms - largest).sum())
