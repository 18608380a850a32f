"""Fit a theory to measured curves of one run, or of several at once."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import cache
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import OptimizeResult, least_squares
from scipy.stats import qmc
from threadpoolctl import ThreadpoolController

from coopetition.compare.curves import FITTED_CURVES, Curves, check_rising
from coopetition.compare.identifiability import (
    FIXED,
    NOT_CONVERGED,
    UNIDENTIFIABLE,
    find_directions,
    standard_deviations,
    status_of,
)
from coopetition.compare.least_squares import ACCURACY, TOLERANCE, FitProblem, Observed, to_errors
from coopetition.compare.noise import (
    autocorrelations,
    effective_n_curves,
    effective_sample_size,
)
from coopetition.compare.result import CurveFit, Estimate, Fit, dof_and_quantile, make_estimate
from coopetition.compare.theory import TOY, Theory, theory_of
from coopetition.tools.checks import check_int, check_number
from coopetition.tools.console import ProgressReport
from coopetition.tools.errors import UsageError, check_type

Array = NDArray[np.float64]

MIN_SAMPLES = 8  # of a curve
MAX_SAMPLES = 1000
MAX_LOSS = 1e6
MIN_VARIATION = 1e-9  # of a curve, relative and absolute


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
    """Fit a theory to the curves `train`, `icl`, `ciwl`, or to those of them that are there.

    `n_screened` points of a Latin hypercube over the search are evaluated; the best `n_starts` are
    refined by `scipy.optimize.least_squares` within its bounds, with an exact Jacobian, each for at
    most `max_iterations` evaluations.  Floor and gain of each curve are solved for at every
    evaluation, see `least_squares`; for the effective sample size see `noise`.  If a run has more
    than 1,000 samples of a curve, 1,000 are used, evenly spread.

    Times count from a run's first sample.  Intervals are meant to hold 90 % if the theory is true;
    they are of first order, and extended to the optima of all starts that fit as well.  `profiled`
    computes them by profile likelihood.

    Parameters
    ----------
    curves : of one run, or of several, which are fitted at once
    shared : parameters that the runs have in common; each run has its own value of the others
    fixed : value of a parameter, or the name of another one that it equals
    tolerance : expected accuracy of the theory, in units of a curve's deviation

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
    theory = theory_of(theory)
    _check_different(runs)
    used = [check_and_thin(run) for run in runs]
    problem = FitProblem(used, theory, shared=shared, fixed=fixed, tolerance=tolerance)
    _check_enough(problem)
    optima = _refine_all(problem, _screen(problem, n_screened, seed)[:n_starts], max_iterations)
    provenance = {
        "seed": seed,
        "n_screened": n_screened,
        "n_starts": n_starts,
        "max_iterations": max_iterations,
        "shared": [*problem.shared],
        "fixed": problem.fixed,
        "tolerance": problem.tolerance,
        "search": {each.name: asdict(each) for each in theory.parameters},
        "sources": [run.source for run in runs],
        "n_given": {
            label + name: int(np.isfinite(run.values[name]).sum())
            for label, run, own in zip(problem.labels, runs, used, strict=True)
            for name in own.values
        },
        "unused": [[name for name in run.values if name not in FITTED_CURVES] for run in runs],
        "versions": {name: version(name) for name in ("coopetition", "numpy", "scipy")},
    }
    converged = bool(optima[0].status > 0)
    # to the last digits, if the iterations suffice
    optima[0] = refine(problem, optima[0].x, max_iterations, tolerance=1e-9)
    return _build_fit(problem, optima, converged, provenance)


def _check_different(runs: Sequence[Curves]) -> None:
    """Raise `UsageError` if two runs have the same curves: they would count as two."""
    for k, run in enumerate(runs):
        for other in runs[:k]:
            same = run.values.keys() == other.values.keys() and all(
                np.array_equal(run.values[n], other.values[n], equal_nan=True) for n in run.values
            )
            if same and np.array_equal(run.sequences, other.sequences):
                raise UsageError(f"{other.source} and {run.source} are the same curves; give one")


def check_and_thin(curves: Curves) -> Curves:
    """Return the curves to fit, thinned; `UsageError` if one cannot be fitted."""
    check_rising(curves)
    names = tuple(name for name in FITTED_CURVES if name in curves.values)
    if not names:
        raise UsageError(
            f"{curves.source} has the curves {', '.join(curves.values) or 'none'}; expected some "
            f"of {', '.join(FITTED_CURVES)}"
        )
    used = curves.select(names).thinned(MAX_SAMPLES)
    for name, values in used.values.items():
        where = f"{curves.source}: curve {name}"
        known = values[np.isfinite(values)]
        if len(known) < MIN_SAMPLES:
            raise UsageError(
                f"{where} has {len(known)} samples here; expected at least {MIN_SAMPLES}: fit a "
                "longer part, or measure more often"
            )
        lowest, highest = float(known.min()), float(known.max())
        if lowest < 0:
            raise UsageError(f"{where} has values below 0; give a loss, or an accuracy")
        if highest > MAX_LOSS:
            raise UsageError(f"{where} goes up to {highest:.3g}, too large to be a loss")
        if highest - lowest < MIN_VARIATION * max(highest, MIN_VARIATION):
            raise UsageError(
                f"{where} is constant ({lowest:g}) here; fit a longer part, or leave out its column"
            )
        if ACCURACY in curves.metric and highest > 1:
            raise UsageError(f"{where} has accuracies above 1; give shares")
        if name in used.std and not (used.std[name][np.isfinite(values)] >= 0).all():
            raise UsageError(f"{where} has standard deviations that are negative or missing")
    return used


def _check_enough(problem: FitProblem) -> None:
    """Raise `UsageError` unless there are more samples than numbers to fit."""
    n, n_curves = sum(map(len, problem.errors.values())), len(problem.errors)
    n_fitted = len(problem.free) + 2 * n_curves
    if n <= n_fitted:
        raise UsageError(
            f"{n} samples are too few for {n_fitted} numbers ({len(problem.free)} parameters, "
            f"floor and gain of {n_curves} curves); fit a longer part, or fix parameters"
        )


def _screen(problem: FitProblem, n: int, seed: int) -> Array:
    """Return thetas (n, free) spread over the search, the best first."""
    hypercube = qmc.LatinHypercube(len(problem.free), rng=np.random.default_rng(seed))
    thetas, costs = hypercube.random(n), np.empty(n)
    with ProgressReport("screen", n, "points") as report:
        for k, theta in enumerate(thetas):
            costs[k] = problem.cost(theta)
            report.advance()
    return thetas[np.argsort(costs)]


def _refine_all(problem: FitProblem, thetas: Array, max_iterations: int) -> list[OptimizeResult]:
    """Return the optimum from each theta, the best first."""
    optima = []
    with ProgressReport("fit", len(thetas), "starts") as report:
        for theta in thetas:
            optima.append(refine_with_gains(problem, theta, max_iterations))
            report.advance(note=f"best mean squared residual {min(map(_mean_square, optima)):.4g}")
    return sorted(optima, key=lambda optimum: optimum.cost)


def refine_with_gains(problem: FitProblem, theta: Array, max_iterations: int) -> OptimizeResult:
    """Refine a theta, again from a lifted problem if a curve ended with a gain of 0."""
    optimum = refine(problem, theta, max_iterations)
    if not problem.has_zero_gain(optimum.x):
        return optimum
    lifted = refine(problem.lifted(), optimum.x, max_iterations)
    again = refine(problem, lifted.x, max_iterations)
    return min(optimum, again, key=lambda each: each.cost)


def _mean_square(optimum: OptimizeResult) -> float:
    """Return the mean squared residual; scipy's `cost` is half of the sum."""
    return 2 * float(optimum.cost) / len(optimum.fun)


def refine(
    problem: FitProblem, theta: Array, max_iterations: int, *, tolerance: float = 1e-5
) -> OptimizeResult:
    """Return the nearest optimum, to a relative change of the cost below `tolerance`.

    1e-5 is far less than the effect of noise, and these problems have long flat valleys.
    """
    return minimize_in_search(
        problem.residuals, problem.jacobian, theta, max_iterations, tolerance=tolerance
    )


def minimize_in_search(
    residuals: Callable[[Array], Array],
    jacobian: Callable[[Array], Array],
    start: Array,
    max_iterations: int,
    *,
    tolerance: float = 1e-5,
) -> OptimizeResult:
    """Minimise the sum of squared residuals between 0 and 1, on one BLAS thread."""
    with _libraries().limit(limits=1, user_api="blas"):  # ten columns: threads would only wait
        return least_squares(
            residuals,
            start,
            jacobian,  # pyright: ignore[reportArgumentType]
            bounds=(0, 1),
            max_nfev=max_iterations,
            ftol=tolerance,
            xtol=tolerance / 10,
        )


@cache
def _libraries() -> ThreadpoolController:
    """Return the loaded libraries that have threads of their own."""
    return ThreadpoolController()


def _build_fit(
    problem: FitProblem,
    optima: Sequence[OptimizeResult],
    converged: bool,
    provenance: dict[str, Any],
) -> Fit:
    """Return the fit at the first of the optima, with intervals of first order."""
    theta, starts = optima[0].x, tuple(map(_mean_square, optima))
    least = max(starts[0], 1e-30)
    names = [free.name for free in problem.free]
    jacobian, observed = problem.jacobian(theta), problem.observe(theta)
    n_identifiable = sum(
        math.isfinite(each.deviation) for each in find_directions(jacobian, 1.0, names)
    )
    n_fitted = n_identifiable + sum((o.floor > 0) + (o.gain > 0) for o in observed.values())
    curves = {
        name: _fit_of_curve(problem, name, each, n_fitted / len(observed))
        for name, each in observed.items()
    }
    n = sum(each.n for each in curves.values())
    n_effective = sum(_effective_size(problem, k, curves) for k in range(len(problem.runs)))
    dof, quantile = dof_and_quantile(n_effective, n_fitted)
    directions = find_directions(jacobian, dof / (n * max(problem.cost(theta), 1e-30)), names)
    rise = dof * (np.array(starts) / least - 1)
    accepted = np.array([each.x for each in optima])[rise <= quantile**2]
    reaches = quantile * standard_deviations(directions, names)
    return Fit(
        problem,
        theta,
        _estimate(problem, accepted, reaches, converged),
        curves,
        starts,
        converged,
        n_effective,
        n_fitted,
        directions,
        _integration_error(problem, theta),
        accepted,
        provenance,
    )


def _fit_of_curve(problem: FitProblem, name: str, observed: Observed, n_fitted: float) -> CurveFit:
    run = problem.runs[problem.where[name][0]]
    y, residual = problem.errors[name], observed.residual
    squares = float(residual @ residual)
    scaled = residual / problem.units[name]
    return CurveFit(
        floor=observed.floor,
        gain=observed.gain,
        r2=1 - squares / float(np.sum((y - y.mean()) ** 2)),
        rmse=math.sqrt(squares / len(y)),
        autocorrelation=float(autocorrelations(scaled)[1]),
        n=len(y),
        n_effective=effective_sample_size(scaled, n_fitted),
        sequences=run.sequences[problem.known[name]],
        measured=to_errors(y, run.metric),
        fitted=to_errors(y + residual, run.metric),
    )


def _effective_size(problem: FitProblem, run: int, curves: dict[str, CurveFit]) -> float:
    """Return the effective sample size of a run, whose curves have correlated residuals."""
    names = [name for name, (own, _) in problem.where.items() if own == run]
    residuals = np.full((len(names), len(problem.runs[run].sequences)), np.nan)
    for row, name in zip(residuals, names, strict=True):
        row[problem.known[name]] = curves[name].measured - curves[name].fitted
    independent = effective_n_curves(residuals) / len(names)
    return independent * sum(curves[name].n_effective for name in names)


def _estimate(
    problem: FitProblem, accepted: Array, reaches: Array, converged: bool
) -> dict[str, Estimate]:
    """Return all parameters, with first-order intervals that include all accepted optima."""
    estimates = {}
    for free, ends, reach in zip(problem.free, accepted.T, reaches, strict=True):
        x = float(ends[0])
        low = max(min(x - reach, ends.min()), 0.0)
        high = min(max(x + reach, ends.max()), 1.0)
        if not converged:
            status = NOT_CONVERGED
        else:
            status = UNIDENTIFIABLE if math.isinf(reach) else status_of(x, low, high)
        estimates[free.name] = make_estimate(problem, free.name, x, low, high, status)
    for name, value in problem.fixed.items():
        if not isinstance(value, str):
            estimates[name] = Estimate(value, value, value, FIXED)
    return estimates


def _integration_error(problem: FitProblem, theta: Array) -> float:
    """Return the effect of finer steps, relative to a curve's range; 0 if there are no steps."""
    coarse, theory = problem.outputs(theta, problem.times), problem.theory.finer()
    errors = []
    for run, row in problem.where.values():
        finer = theory.curves(problem.values(theta)[run], problem.times[run])[row]
        extent, error = np.ptp(finer), np.ptp(finer - coarse[run][row])
        errors.append(error / extent if extent > 0 else error)
    return float(np.max(errors))  # NaN if one is
