"""Fitting a theory to measured curves, of one run or of several at once."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import cache
from importlib.metadata import version

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import OptimizeResult, least_squares
from scipy.stats import qmc
from threadpoolctl import ThreadpoolController

from coopetition.compare.curves import Curves, check_rising
from coopetition.compare.least_squares import ACCURACY, TOLERANCE, Problem
from coopetition.compare.result import Fit, fit_at
from coopetition.compare.theory import CURVES, TOY, Theory, theory_of
from coopetition.tools.checks import check_int, check_number
from coopetition.tools.console import ProgressReport
from coopetition.tools.errors import UsageError, check_type

Array = NDArray[np.float64]

MIN_SAMPLES = 8  # of a curve
MAX_SAMPLES = 1000
LARGEST = 1e6  # of a loss
SMALLEST = 1e-9  # change of a curve, relative and in all


def fit(
    curves: Curves | Sequence[Curves],
    theory: str | Theory = TOY,
    *,
    shared: Sequence[str] = (),
    fixed: Mapping[str, float | str] | None = None,
    tolerance: float = TOLERANCE,
    seed: int = 0,
    n_screened: int = 2048,
    n_starts: int = 32,
    max_iterations: int = 300,
) -> Fit:
    """A theory fitted to the curves `train`, `icl`, `ciwl`, those that are there.

    `n_screened` points of a Latin hypercube over the parameters' search are tried; the best
    `n_starts` are refined by `scipy.optimize.least_squares` within its bounds, with exact slopes,
    each for at most `max_iterations` evaluations; floor and gain of each curve are solved for at
    every one (`observation`).  In which units residuals count: `problem`; how many samples count:
    `noise`.  Of more than 1,000 samples of a run, 1,000 are used, evenly spread.

    Times count from a run's first sample.  Intervals hold 90 % where the theory is true; they are
    to first order, and as wide as the ends of all starts that fit as well: `profiled` walks along
    the valley between them.

    Parameters
    ----------
    curves : of one run, or of several, which are fitted at once
    shared : parameters that the runs have in common; each has its own of all others
    fixed : value of a parameter, or the name of another one that it equals
    tolerance : how true a theory is expected to be, in units of a curve's deviation

    Raises
    ------
    UsageError : none of the curves is there, or one has too few samples or does not vary
    """
    runs: list[Curves] = [*curves] if isinstance(curves, list | tuple) else [curves]  # pyright: ignore[reportAssignmentType]
    if not runs:
        raise UsageError("no curves are given")
    for run in runs:
        check_type(run, Curves, "Curves (`read_curves` reads a run's or a file's)")
    seed = check_int("seed", seed, 0)
    n_screened = check_int("the number of screened points", n_screened, 1)
    n_starts = check_int("the number of starts", n_starts, 1, most=n_screened)
    max_iterations = check_int("max_iterations", max_iterations, 1)
    tolerance = check_number("tolerance", tolerance, positive=True)
    theory = theory_of(theory) if isinstance(theory, str) else theory
    _check_different(runs)
    used = [checked(run) for run in runs]
    problem = Problem(used, theory, shared=shared, fixed=fixed, tolerance=tolerance)
    _check_enough(problem)
    ends = _refined(problem, _screened(problem, n_screened, seed)[:n_starts], max_iterations)
    settings = {
        "seed": seed,
        "n_screened": n_screened,
        "n_starts": n_starts,
        "max_iterations": max_iterations,
        "shared": [*problem.shared],
        "fixed": problem.fixed,
        "tolerance": problem.tolerance,
        "search": {each.name: asdict(each) for each in theory.parameters},
        "sources": [run.source for run in runs],
        "samples": [
            [len(run.sequences), len(own.sequences)] for run, own in zip(runs, used, strict=True)
        ],
        "unused": [[name for name in run.values if name not in CURVES] for run in runs],
        "versions": {name: version(name) for name in ("coopetition", "numpy", "scipy")},
    }
    converged = bool(ends[0].status > 0)
    # to the last digits, as far as iterations go
    ends[0] = refine(problem, ends[0].x, max_iterations, tolerance=1e-9)
    starts = tuple(map(_mean_square, ends))
    places = np.array([end.x for end in ends])
    return fit_at(problem, places, starts, converged, settings)


def _check_different(runs: Sequence[Curves]) -> None:
    """Raise `UsageError` if two runs are the same: they would count as two."""
    for k, run in enumerate(runs):
        for other in runs[:k]:
            same = run.values.keys() == other.values.keys() and all(
                np.array_equal(run.values[n], other.values[n], equal_nan=True) for n in run.values
            )
            if same and np.array_equal(run.sequences, other.sequences):
                raise UsageError(f"{other.source} and {run.source} are the same curves; give one")


def checked(curves: Curves) -> Curves:
    """The curves that are fitted, if they can be, and not too dense."""
    check_rising(curves)
    names = tuple(name for name in CURVES if name in curves.values)
    if not names:
        raise UsageError(
            f"there are the curves {', '.join(curves.values) or 'none'}; "
            f"expected some of {', '.join(CURVES)}"
        )
    used = curves.select(names).thinned(MAX_SAMPLES)
    for name, values in used.values.items():
        where = f"{curves.source}: curve {name}"
        n = int(np.isfinite(values).sum())
        if n < MIN_SAMPLES:
            raise UsageError(
                f"{where} has {n} samples here; expected at least {MIN_SAMPLES}: fit a longer "
                "part, or measure more often"
            )
        lowest, highest = float(np.nanmin(values)), float(np.nanmax(values))
        if lowest < 0:
            raise UsageError(f"{where} has values below 0; give a loss, or an accuracy")
        if highest > LARGEST:
            raise UsageError(f"{where} goes up to {highest:.3g}, too large to be a loss")
        if highest - lowest < SMALLEST * max(highest, SMALLEST):
            raise UsageError(
                f"{where} is constant ({lowest:g}) here; fit a longer part, or leave out its column"
            )
        if ACCURACY in curves.metric and highest > 1:
            raise UsageError(f"{where} has accuracies above 1; give shares")
        error = used.errors.get(name)
        if error is not None and not (error[np.isfinite(values)] >= 0).all():
            raise UsageError(f"errors of curve {name} are negative or missing; give deviations")
    return used


def _check_enough(problem: Problem) -> None:
    """Raise `UsageError` unless there are more samples than numbers to be found."""
    n, n_curves = sum(map(len, problem.errors.values())), len(problem.errors)
    numbers = len(problem.free) + 2 * n_curves
    if n <= numbers:
        raise UsageError(
            f"{n} samples are too few for {numbers} numbers ({len(problem.free)} parameters, floor "
            f"and gain of {n_curves} curves); fit a longer part, or fix parameters"
        )


def _screened(problem: Problem, n: int, seed: int) -> Array:
    """Places (n, free) spread over the search, the best first."""
    hypercube = qmc.LatinHypercube(len(problem.free), rng=np.random.default_rng(seed))
    places, costs = hypercube.random(n), np.empty(n)
    with ProgressReport("screen", n, "points") as report:
        for k, place in enumerate(places):
            costs[k] = problem.cost(place)
            report.advance()
    return places[np.argsort(costs)]


def _refined(problem: Problem, places: Array, max_iterations: int) -> list[OptimizeResult]:
    """Where least squares lead from each place, the best first."""
    ends = []
    with ProgressReport("fit", len(places), "starts") as report:
        for place in places:
            ends.append(refine_all_curves(problem, place, max_iterations))
            report.advance(note=f"best mean squared residual {min(map(_mean_square, ends)):.4g}")
    return sorted(ends, key=lambda end: end.cost)


def refine_all_curves(problem: Problem, place: Array, max_iterations: int) -> OptimizeResult:
    """`refine`, once more where a curve ended with a gain of 0, which slopes do not lead out of."""
    end = refine(problem, place, max_iterations)
    if not problem.unexplained(end.x):
        return end
    lifted = refine(problem.lifted(), end.x, max_iterations)
    again = refine(problem, lifted.x, max_iterations)
    return min(end, again, key=lambda each: each.cost)


def _mean_square(end: OptimizeResult) -> float:
    """Mean squared residual at an end of least squares, whose `cost` is half of the sum."""
    return 2 * float(end.cost) / len(end.fun)


def refine(
    problem: Problem,
    place: Array,
    max_iterations: int = 300,
    *,
    tolerance: float = 1e-5,
) -> OptimizeResult:
    """The nearest least squares to a place, until a step gains less than `tolerance` of the cost.

    1e-5 is much less than what noise moves it by, and these problems have long flat valleys.
    """
    return least_squares_in_search(
        problem.residuals, problem.slopes, place, max_iterations, tolerance=tolerance
    )


def least_squares_in_search(
    residuals: Callable[[Array], Array],
    slopes: Callable[[Array], Array],
    place: Array,
    max_iterations: int,
    *,
    tolerance: float = 1e-5,
) -> OptimizeResult:
    """Minimise the sum of squared residuals over places between 0 and 1, on one BLAS thread."""
    with _libraries().limit(limits=1, user_api="blas"):  # ten columns: threads would only wait
        return least_squares(
            residuals,
            place,
            slopes,  # pyright: ignore[reportArgumentType]
            bounds=(0, 1),
            max_nfev=max_iterations,
            ftol=tolerance,
            xtol=tolerance / 10,
        )


@cache
def _libraries() -> ThreadpoolController:
    """The libraries with threads of their own that are loaded, scipy's among them."""
    return ThreadpoolController()
