"""Samples of the posterior of a fit's parameters, with its evidence.

The prior is uniform over the search range; floors, gains and noise of the curves are integrated out
(`likelihood`), and then drawn for every sample.  So the sample follows curved valleys, and several
of them, which first-order intervals do not.

The samples come from two independent runs of importance sampling (`importance`), merged.  The
posterior has converged if the runs agree (rank-normalised R-hat below 1.01, Vehtari et al. 2021),
and have an effective sample size of more than 400 together.  Both begin at the fit's optima: that
they agree does not show that there is no other valley.
"""

from dataclasses import dataclass, fields
from functools import partial, reduce
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri
from scipy.stats import rankdata

from coopetition.fitting.identifiability import NOT_CONVERGED
from coopetition.fitting.importance import WeightedPoints, resample, sample_by_importance
from coopetition.fitting.problem import FitProblem
from coopetition.fitting.result import ENDS, Estimate, Fit, FittedResult, origin_line
from coopetition.fitting.theory import Theory
from coopetition.tools.checks import check_int
from coopetition.tools.console import ProgressReport, add_progress_switch, map_in_processes
from coopetition.tools.errors import check_type
from coopetition.tools.files import text_table
from coopetition.tools.results import trust_line

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = NDArray[np.float64]

RUNS = 2
ENOUGH = 600  # effective samples of a run
MAX_CALLS = 400_000  # evaluations of residuals and their derivatives, in a run
PLAUSIBLE = 40.0  # deviance of optima above the best, up to which runs start from them
COMPARED = 2000  # samples of each run, for R-hat
MAX_R_HAT = 1.01
MIN_EFFECTIVE = 400.0


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Posterior(FittedResult):
    """A sample of a fit's posterior.

    thetas : (n, free) of its free parameters, with equal weights
    levels : floor and gain of every curve, by name (n, 2)
    noise : sigma and rho of every curve's noise, by name (n, 2)
    log_evidence, log_evidence_error : of the theory, with standard error; comparable between
        theories
    r_hat : largest of all parameters
    effective_sample_size : of the weighted samples that `thetas` are drawn from
    """

    kind: ClassVar[str] = "a saved posterior"
    fit: Fit
    thetas: Array
    levels: dict[str, Array]
    noise: dict[str, Array]
    log_evidence: float
    log_evidence_error: float
    r_hat: float
    effective_sample_size: float

    @property
    def converged(self) -> bool:
        """Whether the two runs agree, and their effective samples together are enough."""
        return self.r_hat < MAX_R_HAT and self.effective_sample_size > MIN_EFFECTIVE

    @property
    def cautions(self) -> list[str]:
        """Reasons to doubt the sample, in sentences; those of the fit are not among them."""
        if self.converged:
            return []
        numbers = f"R-hat {self.r_hat:.3f}, effective sample size {self.effective_sample_size:.0f}"
        remedy = "in Python, increase max_calls of sample_posterior"
        return [f"the posterior has {NOT_CONVERGED} ({numbers}): {remedy}"]

    def estimates(self) -> dict[str, Estimate]:
        """Return the fitted parameters with 90 % intervals of the sample, which include the fit."""
        estimates = {}
        for free, x, sample in zip(
            self.fit.problem.free, self.fit.theta, self.thetas.T, strict=True
        ):
            low, high = map(float, np.quantile(sample, ENDS))
            estimates[free.name] = self.fit.estimate_between(
                free.name, min(low, x), max(high, x), converged=self.converged
            )
        return estimates

    def headline(self) -> str:
        """Return the theory, the number of samples, and whether they can be trusted."""
        status = "" if self.converged else f", {NOT_CONVERGED}"
        return f"of {self.fit.theory}: {len(self.thetas)} samples{status}"

    def columns(self) -> dict[str, Array]:
        """Return free parameters, and floor, gain, sigma and rho of every curve; a row is a sample.

        Parameters are in sequences if their unit has time, and times count from the first sample of
        the run (`Fit.times_from`).  With several runs, names are as in
        `RUN/alpha` and `RUN/floor_icl`.
        """
        columns = {}
        for free, places in zip(self.fit.problem.free, self.thetas.T, strict=True):
            columns[free.name] = self.fit.problem.value_at(free, places)
        has_levels = self.fit.problem.theory.has_levels
        parts = [(("floor", "gain"), self.levels)] * has_levels + [(("sigma", "rho"), self.noise)]
        for kinds, drawn in parts:
            for name, pairs in drawn.items():
                run, slash, curve = name.rpartition("/")
                for kind, values in zip(kinds, pairs.T, strict=True):
                    columns[f"{run}{slash}{kind}_{curve}"] = values
        return columns

    def to_saved(self) -> dict[str, Any]:
        """Return what the file holds."""
        return {"fit": self.fit.to_saved(), "sample": self.sample_to_saved()}

    def sample_to_saved(self) -> dict[str, Any]:
        """Return all but the fit."""
        return {each.name: getattr(self, each.name) for each in fields(self) if each.name != "fit"}

    @classmethod
    def of_sample(cls, fit: Fit, saved: dict[str, Any]) -> Self:
        """Return the posterior of `sample_to_saved`, after a round trip through JSON."""
        return cls(fit, **_to_arrays(saved))

    @classmethod
    def from_saved(cls, saved: dict[str, Any], *theories: Theory) -> Self:
        """Return the posterior of `to_saved`; a theory without a name must be given."""
        return cls.of_sample(Fit.from_saved(saved["fit"], *theories), saved["sample"])

    def summary(self) -> str:
        """Return whether the sample has converged, and medians with 90 % credible intervals."""
        rows: list[tuple[str, ...]] = [("", "median", "low", "high", "(90 % credible interval)")]
        statuses = {name: each.status for name, each in self.estimates().items()}
        for name, values in self.columns().items():
            numbers = (f"{x:.4g}" for x in np.quantile(values, (0.5, *ENDS)))
            rows.append((name, *numbers, statuses.get(name, "")))
        quality = f"R-hat {self.r_hat:.3f}, effective sample size {self.effective_sample_size:.0f}"
        first_line = trust_line(self.cautions, f"The posterior sample has converged: {quality}.")
        evidence = f"log evidence {self.log_evidence:.1f} +- {self.log_evidence_error:.1f}"
        about = f"theory {self.fit.theory}, {len(self.thetas)} samples, {evidence}"
        origin = origin_line(self.fit.times_from)
        return "\n".join([first_line, "", about, origin, text_table(rows)])

    def plot(self, *names: str) -> "Figure":
        """Draw histograms and pairs of the free parameters, or of the named columns.

        Unlike other plots it needs a figure of its own; see `coopetition.plot.fits`.
        """
        from coopetition.plot.fits import plot_corner

        return plot_corner(self, names)


@add_progress_switch
def sample_posterior(
    fit: Fit,
    *,
    n: int = 1000,
    seed: int = 0,
    max_calls: int = MAX_CALLS,
    n_jobs: int = 1,
    progress: bool = True,
) -> Posterior:
    """Return `n` samples of the posterior of a fit's parameters.

    The prior is uniform over the search range of the parameters; floors, gains and noise of the
    curves are integrated out, and then drawn for every sample.  The samples come from two
    independent runs of importance sampling, merged.  The posterior has converged if the runs agree
    (R-hat below 1.01), and have an effective sample size of more than 400 together.

    Parameters
    ----------
    max_calls : evaluations of the residuals in each run; a run ends earlier if it has 600 effective
        samples, but not before some 5,000
    n_jobs : processes for the two runs; the result does not depend on it
    progress : whether to show progress; see also `show_progress`
    """
    check_type(fit, Fit, "a fit, as `fit(curves, 'toy')` returns it")
    n = check_int("the number of samples", n, 2)
    seed = check_int("seed", seed, 0)
    max_calls = check_int("max_calls", max_calls, 1)
    n_jobs = check_int("n_jobs", n_jobs, 1)
    problem = fit.problem
    starts = fit.optima_within(PLAUSIBLE)
    *seeds, own = np.random.SeedSequence(seed).spawn(RUNS + 1)
    rng = np.random.default_rng(own)
    work = partial(_run, problem, starts, max_calls)
    runs = [*map_in_processes(work, enumerate(seeds, 1), n_jobs)]
    chains = np.array([run.points[resample(rng, run.weights, COMPARED)] for run in runs])
    merged = reduce(WeightedPoints.with_others, runs)
    deviation = np.std([run.log_evidence for run in runs], ddof=1)
    thetas = merged.points[resample(rng, merged.weights, n)]
    levels, noise = _draw_others(problem, thetas, rng)
    return Posterior(
        fit,
        thetas,
        levels,
        noise,
        merged.log_evidence,
        float(max(merged.effective_sample_size**-0.5, deviation / RUNS**0.5)),
        r_hat_of(chains),
        merged.effective_sample_size,
    )


def _run(
    problem: FitProblem,
    starts: Array,
    max_calls: int,
    numbered: tuple[int, np.random.SeedSequence],
) -> WeightedPoints:
    number, seed = numbered
    with ProgressReport(f"sample {number}/{RUNS}", ENOUGH, "effective samples") as report:

        def show(n_calls: int, size: float) -> None:
            report.advance(max(min(int(size), ENOUGH) - report.done, 0), f"{n_calls} evaluations")

        return sample_by_importance(
            problem.log_likelihood,
            problem.residuals_and_jacobian,
            starts,
            np.random.default_rng(seed),
            enough=ENOUGH,
            max_calls=max_calls,
            report=show,
        )


def _to_arrays(saved: dict[str, Any]) -> dict[str, Any]:
    """Return values that were saved as JSON, with arrays in place of lists, and NaN for null."""
    arrays: dict[str, Any] = {}
    for name, value in saved.items():
        if isinstance(value, dict):
            arrays[name] = _to_arrays(value)
        else:
            arrays[name] = value if isinstance(value, float) else np.array(value, float)[()]
    return arrays


def _draw_others(
    problem: FitProblem, thetas: Array, rng: np.random.Generator
) -> tuple[dict[str, Array], dict[str, Array]]:
    """Return floor and gain, and sigma and rho, of every curve, drawn for every theta."""
    sums = [problem.likelihoods(theta) for theta in thetas]
    levels, noise = {}, {}
    for group, first in sums[0].items():
        own: Any = [each[group] for each in sums]
        for drawn, values in zip((levels, noise), first.draw(rng, own), strict=True):
            drawn |= dict.fromkeys(group, values)
    return levels, noise


def r_hat_of(chains: Array) -> float:
    """Return the largest rank-normalised R-hat of chains (chains, n, parameters).

    Both that of the values and that of their distances from the median (Vehtari et al. 2021).
    """
    m, n, p = chains.shape
    distances = np.abs(chains - np.median(chains, axis=(0, 1)))
    largest = 1.0
    for values in (chains, distances):
        ranks = rankdata(values.reshape(-1, p), axis=0)
        z = ndtri((ranks - 3 / 8) / (m * n + 1 / 4)).reshape(m, n, p)
        within, between = z.var(1, ddof=1).mean(0), z.mean(1).var(0, ddof=1)
        # a parameter with one value in each chain has no variance within them
        ratio = np.divide(between, within, out=np.full(p, np.inf), where=within > 0)
        largest = max(largest, *np.sqrt((n - 1) / n + ratio))
    return float(largest)
