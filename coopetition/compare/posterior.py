"""Where the parameters could as well be: a sample of their posterior, and bootstraps beside it.

`draws` samples, with N samples that count and a flat prior over the search and over the logarithm
of the residuals' variance,

    log p(place) = -N/2 log cost(place) + a constant,

by an ensemble of walkers that learn their steps from each other (differential evolution, ter Braak
2006; `emcee`), from wherever starts of the fit ended as low (`Fit.valleys`).  Floor and gain are
then drawn about their best values at a place, normal and not below 0.  So draws follow valleys that
are curved, or several, which intervals to first order do not.

`block_bootstrap` is a check of that: fits to the fitted curves with residuals drawn in blocks
(Kuensch 1989), and across curves the same blocks.  What a theory misses in the same way everywhere
is kept in place by either.
"""

import math
from dataclasses import dataclass, replace

import emcee
import numpy as np
from numpy.typing import NDArray

from coopetition.compare.curves import Curves
from coopetition.compare.estimate import refine
from coopetition.compare.least_squares import Free, Problem, errors_of
from coopetition.compare.result import LEVEL, Estimate, Fit, estimate_of, told_by
from coopetition.compare.theory import CURVES
from coopetition.tools.checks import check_int
from coopetition.tools.console import ProgressReport
from coopetition.tools.errors import UsageError

Array = NDArray[np.float64]

WALKERS = 32  # at least
STEPS = 800  # of each, of which the first half is thrown away
SCATTER = 0.03  # of walkers about a valley at the start, in the search
LEVEL_TRIES = 50  # a draw of floor and gain that is below 0 is drawn again so often
MAX_ITERATIONS = 120
TOLERANCE = 1e-6  # along flat valleys a looser one stops too near to where a fit began
ENDS = (1 - LEVEL) / 2, (1 + LEVEL) / 2


@dataclass(frozen=True, slots=True, eq=False)
class Draws:
    """Fits beside a fit.

    places : (n, free) of its free parameters
    levels : floor and gain of every curve, by name (n, 2)
    """

    fit: Fit
    places: Array
    levels: dict[str, Array]

    def estimates(self) -> dict[str, Estimate]:
        """Parameters as fitted, and where 9 of 10 draws have them."""
        columns = zip(self.fit.problem.free, self.fit.place, self.places.T, strict=True)
        return {
            free.name: _estimate(self.fit, free.name, float(x), column)
            for free, x, column in columns
        }

    def __repr__(self) -> str:
        return f"<Draws of {self.fit.theory}: {len(self.places)}>"


def draws(fit: Fit, *, n: int = 100, seed: int = 0) -> Draws:
    """`n` draws of the posterior about a fit; see the module."""
    check_int("the number of draws", n, 2)
    check_int("seed", seed, 0)
    rng = np.random.default_rng(seed)
    chain = _chain(fit, rng)
    places = chain[rng.integers(len(chain), size=n)]
    levels = {name: np.empty((n, 2)) for name in fit.curves}
    for k, place in enumerate(places):
        for name, drawn in _drawn_levels(fit, place, rng).items():
            levels[name][k] = drawn
    return Draws(fit, places, levels)


def _chain(fit: Fit, rng: np.random.Generator) -> Array:
    """Places (samples, free) of the second half of all walkers' ways."""
    problem, n_free = fit.problem, len(fit.place)
    n_walkers = max(WALKERS, 2 * n_free + 2)

    def log_posterior(place: Array) -> float:
        if (place < 0).any() or (place > 1).any():
            return -math.inf
        return -fit.n_effective / 2 * math.log(max(problem.cost(place), 1e-30))

    valleys = fit.valleys[rng.integers(len(fit.valleys), size=n_walkers)]
    start = np.clip(valleys + SCATTER * rng.standard_normal((n_walkers, n_free)), 1e-4, 1 - 1e-4)
    moves = [(emcee.moves.DEMove(), 0.8), (emcee.moves.DESnookerMove(), 0.2)]
    sampler = emcee.EnsembleSampler(n_walkers, n_free, log_posterior, moves=moves)
    # the only way to seed it: its own generator is taken over
    sampler.random_state = np.random.RandomState(int(rng.integers(2**32))).get_state()
    with ProgressReport("draw", STEPS, "steps") as report:
        for _ in sampler.sample(start, iterations=STEPS, skip_initial_state_check=True):
            report.advance()
    return np.asarray(sampler.get_chain(discard=STEPS // 2, flat=True))


def _drawn_levels(fit: Fit, place: Array, rng: np.random.Generator) -> dict[str, Array]:
    """Floor and gain of every curve at a place, drawn about their best; neither below 0."""
    problem, outputs = fit.problem, fit.problem.outputs(place, fit.problem.times)
    variance = fit.starts[0] * inflation(fit) ** 2
    found = {}
    for name, best in problem.seen(place).items():
        run, row = problem.where[name]
        curve = outputs[run][row][problem.known[name]]
        scaled = np.stack([np.ones_like(curve), curve], 1) / problem.units[name][:, None]
        each = fit.curves[name]
        spread = np.linalg.pinv(scaled.T @ scaled) * variance * each.n / each.n_effective
        centre = np.array([best.floor, best.gain])
        drawn = rng.multivariate_normal(centre, spread, size=LEVEL_TRIES, method="eigh")
        allowed = drawn[(drawn >= 0).all(axis=1)]
        found[name] = allowed[0] if len(allowed) else centre
    return found


def inflation(fit: Fit) -> float:
    """What residuals are to be multiplied with, for what the fit has absorbed of the noise."""
    return math.sqrt(fit.n_effective / fit.freedom)


def with_draws(fit: Fit, *, n: int = 100, seed: int = 0) -> Fit:
    """The fit with the intervals of draws in place of those to first order."""
    found = draws(fit, n=n, seed=seed).estimates()
    return replace(fit, parameters=fit.parameters | found)


def block_bootstrap(fit: Fit, *, n: int = 100, seed: int = 0) -> Draws:
    """`n` draws by residuals in blocks, twice as long as these are correlated."""
    check_int("the number of draws", n, 2)
    rng = np.random.default_rng(seed)
    places = np.empty((n, len(fit.place)))
    levels = {name: np.empty((n, 2)) for name in fit.curves}
    with ProgressReport("draw", n, "fits") as report:
        for k in range(n):
            problem = _with_blocks(fit, rng)
            chosen = {0, int(rng.integers(len(fit.valleys)))}
            starts = [fit.valleys[valley] for valley in chosen]
            ends = [
                refine(problem, np.clip(x, 1e-6, 1 - 1e-6), MAX_ITERATIONS, tolerance=TOLERANCE)
                for x in starts
            ]
            places[k] = min(ends, key=lambda end: end.cost).x
            for name, best in problem.seen(places[k]).items():
                levels[name][k] = best.floor, best.gain
            report.advance()
    return Draws(fit, places, levels)


def seed_bootstrap(fit: Fit, *, n: int = 100, seed: int = 0) -> dict[str, Estimate]:
    """What runs share, fitted anew to as many of them, drawn with replacement.

    With three runs there are but ten different draws: take the ends for the extremes.
    """
    check_int("the number of bootstrap samples", n, 2)
    problem, rng = fit.problem, np.random.default_rng(seed)
    if not problem.shared or len(problem.runs) < 2:
        raise UsageError("a bootstrap over seeds is of what several runs share; fit them with some")
    shared = [k for k, free in enumerate(problem.free) if free.name in problem.shared]
    places = np.empty((n, len(shared)))
    with ProgressReport("bootstrap", n, "fits") as report:
        for i in range(n):
            chosen = rng.integers(0, len(problem.runs), len(problem.runs))
            drawn = problem.of_runs([problem.runs[k] for k in chosen])
            start = np.array([_place_of(fit, free, chosen) for free in drawn.free])
            ended = dict(zip((f.name for f in drawn.free), refine(drawn, start).x, strict=True))
            places[i] = [ended[problem.free[k].name] for k in shared]
            report.advance()
    names = [problem.free[k].name for k in shared]
    return {
        name: _estimate(fit, name, float(fit.place[k]), column)
        for name, k, column in zip(names, shared, places.T, strict=True)
    }


def _estimate(fit: Fit, name: str, place: float, drawn: Array) -> Estimate:
    low, high = map(float, np.quantile(drawn, ENDS))
    low, high = min(low, place), max(high, place)
    told = told_by(fit, name, low, high)
    return estimate_of(fit.problem, name, place, low, high, told)


def _with_blocks(fit: Fit, rng: np.random.Generator) -> Problem:
    problem, errors = fit.problem, {}
    for k, run in enumerate(problem.runs):
        names = [name for name, (own, _) in problem.where.items() if own == k]
        longest = max(fit.curves[name].n / fit.curves[name].n_effective for name in names)
        order = _blocks(len(run.sequences), math.ceil(2 * longest), rng)
        for name in names:
            each, known = fit.curves[name], problem.known[name]
            fitted, measured = (errors_of(v, run.metric) for v in (each.fitted, each.measured))
            unit, residual = np.ones(len(known)), np.zeros(len(known))  # where none was measured
            unit[known] = problem.units[name]
            residual[known] = (measured - fitted) / problem.units[name]
            errors[name] = fitted + inflation(fit) * unit[known] * residual[order][known]
    return _with_values(problem, errors)


def _with_values(problem: Problem, errors: dict[str, Array]) -> Problem:
    """The problem with other errors where some were measured."""
    runs: list[Curves] = []
    for label, run in zip(problem.labels, problem.runs, strict=True):
        values = {}
        for name in CURVES:
            if name in run.values:
                known = problem.known[label + name]
                values[name] = np.full(len(known), np.nan)
                values[name][known] = errors_of(errors[label + name], run.metric)
        runs.append(replace(run, values=values))
    return problem.of_runs(runs)


def _blocks(n: int, length: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Indices (n,) in blocks of neighbours, which wrap around."""
    starts = rng.integers(0, n, math.ceil(n / length))
    return ((starts[:, None] + np.arange(length)) % n).ravel()[:n]


def _place_of(fit: Fit, free: Free, chosen: NDArray[np.int64]) -> float:
    """Where a parameter of resampled runs is in the fit of the runs that they are."""
    run, parameter = free.places[0]
    place = (0 if free.name in fit.problem.shared else int(chosen[run])), parameter
    own = [place in each.places for each in fit.problem.free]
    return float(fit.place[own.index(True)])
