"""Where the parameters could as well be: fits to what could as well have been measured.

To the fitted curves is added noise as large and as correlated as the residuals, with variance
N / (N - k) times theirs (N samples that count, k numbers chosen), and the theory is fitted again.
Each time it is fitted from the best place and from another where a start of the fit ended as low
(`Fit.valleys`), and the better counts.  So draws follow valleys that are curved, which intervals to
first order do not.

`block_bootstrap` is a check of that: it draws the residuals themselves, in blocks (Kuensch 1989),
and across curves the same blocks.  What a theory misses in the same way everywhere is kept in place
by either.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from coopetition.compare.curves import Curves
from coopetition.compare.estimate import refine
from coopetition.compare.noise import correlated_noise
from coopetition.compare.observation import errors_of
from coopetition.compare.problem import Free, Problem
from coopetition.compare.result import LEVEL, Estimate, Fit, estimate_of, told_by
from coopetition.compare.theory import CURVES
from coopetition.model.declaration import check_whole
from coopetition.tools.errors import UsageError
from coopetition.tools.progress import ProgressReport

Array = NDArray[np.float64]

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
    """`n` draws about a fit; see the module."""
    return _refitted(fit, n, seed, lambda rng: _with_noise(fit, rng))


def inflation(fit: Fit) -> float:
    """What residuals are to be multiplied with, for what the fit has absorbed of the noise."""
    return math.sqrt(fit.n_effective / fit.freedom)


def with_draws(fit: Fit, *, n: int = 100, seed: int = 0) -> Fit:
    """The fit with the intervals of draws in place of those to first order."""
    found = draws(fit, n=n, seed=seed).estimates()
    return replace(fit, parameters=fit.parameters | found)


def block_bootstrap(fit: Fit, *, n: int = 100, seed: int = 0) -> Draws:
    """`n` draws by residuals in blocks, twice as long as these are correlated."""
    return _refitted(fit, n, seed, lambda rng: _with_blocks(fit, rng))


def seed_bootstrap(fit: Fit, *, n: int = 100, seed: int = 0) -> dict[str, Estimate]:
    """What runs share, fitted anew to as many of them, drawn with replacement.

    With three runs there are but ten different draws: take the ends for the extremes.
    """
    check_whole("the number of bootstrap samples", n, 2)
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


def _refitted(
    fit: Fit, n: int, seed: int, drawn: Callable[[np.random.Generator], Problem]
) -> Draws:
    check_whole("the number of draws", n, 2)
    rng = np.random.default_rng(seed)
    places = np.empty((n, len(fit.place)))
    levels = {name: np.empty((n, 2)) for name in fit.curves}
    with ProgressReport("draw", n, "fits") as report:
        for k in range(n):
            problem = drawn(rng)
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


def _with_noise(fit: Fit, rng: np.random.Generator) -> Problem:
    """The problem of the fitted curves with noise, in what is measured of errors."""
    problem, size = fit.problem, inflation(fit) * math.sqrt(fit.starts[0])
    errors = {}
    for name, each in fit.curves.items():
        counts = each.n_effective / each.n
        noise = correlated_noise(rng, each.n, (1 - counts) / (1 + counts))
        fitted = errors_of(each.fitted, problem.runs[problem.where[name][0]].metric)
        errors[name] = fitted + size * problem.units[name] * noise
    return _with_values(problem, errors)


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
