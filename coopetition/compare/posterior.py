"""Samples of the posterior about a fit.

The prior is flat over the search, and over the logarithm of the residuals' variance.  With N the
effective sample size,

    log p(theta) = -N/2 log cost(theta) + a constant,

which is sampled by an ensemble of walkers that learn their steps from each other (differential
evolution, ter Braak 2006; `emcee`), from all optima that the fit accepts.  Floor and gain are then
drawn about their best values at a theta, normal and not below 0.  So the sample follows curved
valleys, and several of them, which first-order intervals do not.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import emcee
import numpy as np
from numpy.typing import NDArray

from coopetition.compare.result import ENDS, Estimate, Fit
from coopetition.tools.checks import check_int
from coopetition.tools.console import ProgressReport
from coopetition.tools.files import text_table
from coopetition.tools.results import Result

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = NDArray[np.float64]

MIN_WALKERS = 32
STEPS = 800  # of each walker; the first half is discarded
SCATTER = 0.03  # of walkers about an optimum at the start, in widths of the search
MAX_TRIES = 50  # to draw a floor and a gain that are not below 0


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Posterior(Result):
    """A sample of a fit's posterior.

    thetas : (n, free) of its free parameters
    levels : floor and gain of every curve, by name (n, 2)
    """

    fit: Fit
    thetas: Array
    levels: dict[str, Array]

    def estimates(self) -> dict[str, Estimate]:
        """Return the fitted parameters with the interval of 90 % of the sample."""
        estimates = {}
        for free, x, sample in zip(
            self.fit.problem.free, self.fit.theta, self.thetas.T, strict=True
        ):
            low, high = map(float, np.quantile(sample, ENDS))
            estimates[free.name] = self.fit.estimate_between(free.name, min(low, x), max(high, x))
        return estimates

    def headline(self) -> str:
        """Return the theory and the number of samples."""
        return f"of {self.fit.theory}: {len(self.thetas)} samples"

    def columns(self) -> dict[str, Array]:
        """Return free parameters, floors and gains; a row is a sample.

        Parameters are in sequences if their unit has time.  With several runs, names are as in
        `RUN/alpha` and `RUN/floor_icl`.
        """
        columns = {}
        for free, places in zip(self.fit.problem.free, self.thetas.T, strict=True):
            unit = self.fit.problem.in_sequences(free.parameter)
            columns[free.name] = free.parameter.from_unit(places) * unit
        for name, pairs in self.levels.items():
            run, slash, curve = name.rpartition("/")
            columns |= {
                f"{run}{slash}{kind}_{curve}": values
                for kind, values in zip(("floor", "gain"), pairs.T, strict=True)
            }
        return columns

    def summary(self) -> str:
        """Return a table of text: medians and 90 % credible intervals."""
        rows: list[tuple[str, ...]] = [("", "median", "low", "high", "(90 % credible interval)")]
        statuses = {name: each.status for name, each in self.estimates().items()}
        for name, values in self.columns().items():
            numbers = (f"{x:.4g}" for x in np.quantile(values, (0.5, *ENDS)))
            rows.append((name, *numbers, statuses.get(name, "")))
        return f"{self.headline()}\n{text_table(rows)}"

    def plot(self, *names: str) -> "Figure":
        """Draw histograms and pairs of the free parameters, or of the named columns.

        Unlike other plots it needs a figure of its own; see `coopetition.plot.fits`.
        """
        from coopetition.plot.fits import plot_corner

        return plot_corner(self, names)


def sample_posterior(fit: Fit, *, n: int = 100, seed: int = 0) -> Posterior:
    """Return `n` samples of the posterior about a fit; see the module."""
    check_int("the number of samples", n, 2)
    check_int("seed", seed, 0)
    rng = np.random.default_rng(seed)
    chain = _sample_chain(fit, rng)
    thetas = chain[rng.integers(len(chain), size=n)]
    levels = {name: np.empty((n, 2)) for name in fit.curves}
    for k, theta in enumerate(thetas):
        for name, drawn in _draw_levels(fit, theta, rng).items():
            levels[name][k] = drawn
    return Posterior(fit, thetas, levels)


def _sample_chain(fit: Fit, rng: np.random.Generator) -> Array:
    """Return thetas (samples, free) of the second half of all walkers' chains."""
    problem, n_free = fit.problem, len(fit.theta)
    n_walkers = max(MIN_WALKERS, 2 * n_free + 2)

    def log_posterior(theta: Array) -> float:
        if (theta < 0).any() or (theta > 1).any():
            return -math.inf
        return -fit.n_effective / 2 * math.log(max(problem.cost(theta), 1e-30))

    optima = fit.accepted_optima[rng.integers(len(fit.accepted_optima), size=n_walkers)]
    start = np.clip(optima + SCATTER * rng.standard_normal((n_walkers, n_free)), 1e-4, 1 - 1e-4)
    moves = [(emcee.moves.DEMove(), 0.8), (emcee.moves.DESnookerMove(), 0.2)]
    sampler = emcee.EnsembleSampler(n_walkers, n_free, log_posterior, moves=moves)
    # emcee takes no seed: its own generator is replaced
    sampler.random_state = np.random.RandomState(int(rng.integers(2**32))).get_state()
    with ProgressReport("sample", STEPS, "steps") as report:
        for _ in sampler.sample(start, iterations=STEPS, skip_initial_state_check=True):
            report.advance()
    return np.asarray(sampler.get_chain(discard=STEPS // 2, flat=True))


def _draw_levels(fit: Fit, theta: Array, rng: np.random.Generator) -> dict[str, Array]:
    """Return floor and gain of every curve, drawn about their best values; neither below 0."""
    problem, outputs = fit.problem, fit.problem.outputs(theta, fit.problem.times)
    variance = fit.starts[0] * fit.n_effective / fit.residual_dof  # what the fit absorbed included
    levels = {}
    for name, best in problem.observe(theta).items():
        run, row = problem.where[name]
        curve = outputs[run][row][problem.known[name]]
        design = np.stack([np.ones_like(curve), curve], 1) / problem.units[name][:, None]
        each = fit.curves[name]
        covariance = np.linalg.pinv(design.T @ design) * variance * each.n / each.n_effective
        centre = np.array([best.floor, best.gain])
        drawn = rng.multivariate_normal(centre, covariance, size=MAX_TRIES, method="eigh")
        allowed = drawn[(drawn >= 0).all(axis=1)]
        levels[name] = allowed[0] if len(allowed) else centre
    return levels
