"""The result of a fit: parameters with intervals, curves and diagnostics."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import t as student

from coopetition.fitting.identifiability import (
    FIXED,
    IDENTIFIABLE,
    NOT_CONVERGED,
    UNIDENTIFIABLE,
    Direction,
    status_of,
)
from coopetition.fitting.noise import Noise
from coopetition.fitting.observation import to_errors
from coopetition.fitting.problem import FitProblem, FreeParameter
from coopetition.fitting.theory import Theory
from coopetition.tools.checks import check_real_array
from coopetition.tools.errors import UsageError, abbreviate
from coopetition.tools.files import text_table, wrap_text
from coopetition.tools.results import JsonResult, read_saved, trust_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Array = NDArray[np.float64]

LEVEL = 0.9  # of all intervals
ENDS = (1 - LEVEL) / 2, (1 + LEVEL) / 2  # quantiles
FEW = 0.1  # share of the starts: if no more end near the best, it may be an accident
MAX_INTEGRATION_ERROR = 1e-2  # relative to a curve's range
MAX_REACH = 100  # times the length of the data: the end of predictions
UNITS = {-1: ", in sequences", 0: "", 1: ", per sequence"}  # by `Parameter.per_time`
SAMPLES = ("sequences", "measured", "fitted")
STATISTICS = ("floor", "gain", "sigma", "rho", "r2", "rmse", "n", "n_effective")
CLOSE = 1.0  # deviance above the best of a start that found the same optimum
LOW_R2 = 0.9
NEAR_LARGEST_RHO = 0.99  # share of the largest correlation that noise may have
TRUSTED = "The fit converged, and no problem was found in it."


@dataclass(frozen=True, slots=True, eq=False)
class CurveFit:
    """A fitted curve: measured = floor + gain x the theory's error of that name.

    If the metric is an accuracy, floor and gain are those of 1 minus the accuracy.  With a readout
    they are 0 and 1.

    sigma, rho : standard deviation and correlation of neighbouring samples of the noise
    r2 : coefficient of determination
    rmse : root mean square residual, in the curve's unit
    n, n_effective : samples, and the number of independent ones whose mean is as certain
    """

    floor: float
    gain: float
    sigma: float
    rho: float
    r2: float
    rmse: float
    n: int
    n_effective: float
    sequences: Array
    measured: Array
    fitted: Array

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, without samples."""
        return {name: getattr(self, name) for name in STATISTICS}


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with its 90 % interval.

    status : `identifiable`; `no lower bound`, `no upper bound` or `unconstrained` if the interval
        reaches an end of the search range (practically unidentifiable); `structurally
        unidentifiable`; `at bound` if the value is at an end of the search range; `fixed`; `not
        converged`
    """

    value: float
    low: float
    high: float
    status: str

    @property
    def is_identified(self) -> bool:
        """Whether the curves identify it, or it is fixed."""
        return self.status in (IDENTIFIABLE, FIXED)


def make_estimate(
    problem: FitProblem, free: FreeParameter, x: float, low: float, high: float, status: str
) -> Estimate:
    """Return the estimate of a free parameter from the places of its value and ends."""
    value, *ends = (float(problem.value_at(free, each)) for each in (x, low, high))
    return Estimate(value, min(ends), max(ends), status)


def quantile_and_threshold(
    curves: Iterable[CurveFit], n_fitted: int, n_noises: int
) -> tuple[float, float]:
    """Return Student's quantile for `LEVEL`, and the rise of the deviance where it is reached.

    Both are those of the average curve, or of the average group of curves with one noise.  The
    variance of a mean is s / (1 - rho)^2, with s that of the independent part of the noise.  The
    logarithm of s is known with the variance 2 / (n - p), that of 1 / (1 - rho)^2 with
    4 / n_effective; Student's distribution has 2 degrees of freedom over their sum (Satterthwaite
    1946).  With many samples, the threshold is the square of the quantile.
    """
    sizes = np.array([(each.n, each.n_effective) for each in curves])
    n, n_effective = sizes.sum(0) / n_noises
    residual = max(n - n_fitted / n_noises, 1.0)
    quantile = float(student.ppf(ENDS[1], 1 / (1 / residual + 2 / n_effective)))
    return quantile, n * math.log1p(quantile**2 / n)


def origin_line(times_from: Iterable[float]) -> str:
    """Return a line that says where the times of a fit begin."""
    places = ", ".join({f"{first:.4g}": None for first in times_from})
    return wrap_text(f"times count from the first sample, at {places} sequences")


class FittedResult(JsonResult):
    """A result of fitted theories, which its file names."""

    __slots__ = ()

    @classmethod
    def from_saved(cls, saved: dict[str, Any], *theories: Theory) -> Self:
        """Return the result of `to_saved`; theories without a name in commands must be given."""
        raise NotImplementedError

    @classmethod
    def load(cls, path: Path | str, *theories: Theory) -> Self:
        """Read a file of `save`; any other file raises `UsageError`.

        theories : those of the file that commands have no name for
        """
        return read_saved(Path(path), cls.kind, lambda saved: cls.from_saved(saved, *theories))


@dataclass(frozen=True, eq=False, repr=False)
class Fit(FittedResult):
    """A theory fitted to curves.

    problem : with the most likely noise
    theta : (free,) the free parameters, as places in their search range: 0 is its lower end, 1
        its upper end
    parameters : by name, `RUN/NAME` with several runs; in sequences if their unit has time
    curves : by name, likewise
    starts : deviance, -2 log likelihood, of every refined start, best first; those at which errors
        of integration make the theory's curves are left out
    converged : whether the best start did
    n_fitted : fitted numbers: identifiable combinations of parameters, and floors and gains above 0
    directions : combinations of parameters, the least certain first
    integration_error : of the theory's curves, relative to a curve's range
    optima : (starts, free) where the starts ended
    provenance : settings, sources and versions
    """

    kind: ClassVar[str] = "a saved fit"
    problem: FitProblem
    theta: Array
    parameters: dict[str, Estimate]
    curves: dict[str, CurveFit]
    starts: tuple[float, ...]
    converged: bool
    n_fitted: int
    directions: tuple[Direction, ...]
    integration_error: float
    optima: Array
    provenance: dict[str, Any]

    @property
    def theory(self) -> str:
        """Name of the theory."""
        return self.problem.theory.name

    @property
    def times_from(self) -> tuple[float, ...]:
        """The first sample of each run, in sequences, from which its times count."""
        return self.problem.times_from

    @property
    def n(self) -> int:
        """Number of samples of all curves."""
        return sum(each.n for each in self.curves.values())

    @property
    def thinning(self) -> str:
        """Return which curves were thinned, as text; empty if none was."""
        given = self.provenance["n_given"]
        parts = [
            f"{each.n} of {given[name]} samples of {name}"
            for name, each in self.curves.items()
            if each.n < given[name]
        ]
        return f"used {', '.join(parts)}" if parts else ""

    @property
    def n_effective(self) -> float:
        """Effective sample size of all curves."""
        return sum(each.n_effective for each in self.curves.values())

    @property
    def deviance(self) -> float:
        """-2 log likelihood at its maximum."""
        return self.starts[0]

    @property
    def threshold(self) -> float:
        """Rise of the deviance at the ends of a parameter's interval."""
        n_noises = len(self.problem.noise_groups)
        return quantile_and_threshold(self.curves.values(), self.n_fitted, n_noises)[1]

    @property
    def accepted_optima(self) -> Array:
        """The optima (n, free) within the threshold, best first."""
        return self.optima_within(self.threshold)

    def optima_within(self, rise: float) -> Array:
        """Return the optima (n, free) with a deviance up to `rise` above the best's, in order."""
        return self.optima[np.array(self.starts) <= self.deviance + rise]

    @property
    def _n_estimated(self) -> int:
        """Number of fitted numbers, with the two of each noise."""
        return self.n_fitted + 2 * len(self.problem.noise_groups)

    @property
    def bic(self) -> float:
        """Bayesian information criterion; lower is better."""
        return self.deviance + self._n_estimated * math.log(self.n)

    @property
    def aicc(self) -> float | None:
        """Akaike information criterion, corrected for few samples; None if there are too few."""
        k, spare = self._n_estimated, self.n - self._n_estimated - 1
        return None if spare <= 0 else self.deviance + 2 * k * (1 + (k + 1) / spare)

    @property
    def levels(self) -> dict[str, tuple[float, float]]:
        """Floor and gain of every curve."""
        return {name: (each.floor, each.gain) for name, each in self.curves.items()}

    def predict(self, sequences: ArrayLike) -> dict[str, Array]:
        """Return the fitted curves, in their metric, at any sequences, within or beyond the data.

        An entry is NaN before the first sample of its run, where the theory's time begins, and
        where the theory cannot be computed.

        Raises
        ------
        UsageError : sequences that are not finite numbers, or reach beyond 100 times the length
            of the data
        """
        given = check_real_array("sequences", sequences)
        rising, places = np.unique(given, return_inverse=True)
        times = [self.problem.time(k, rising) for k in range(len(self.problem.runs))]
        if not all((each <= MAX_REACH).all() for each in times):  # or NaN
            farthest = min(run.sequences[0] for run in self.problem.runs)
            farthest += MAX_REACH * self.problem.unit_of_time
            raise UsageError(
                f"sequences reach {rising[-1]:g}; choose finite numbers up to {farthest:g}, "
                f"{MAX_REACH} times the length of the data"
            )
        outputs = self.problem.outputs(self.theta, [np.maximum(each, 0.0) for each in times])
        predicted = {}
        for name, (k, row) in self.problem.where.items():
            floor, gain = self.levels[name]
            errors = floor + gain * np.where(times[k] >= 0, outputs[k][row], np.nan)
            values = to_errors(errors, self.problem.runs[k].metric)
            predicted[name] = values[places].reshape(given.shape)
        return predicted

    @property
    def n_starts_at_best(self) -> int:
        """Number of starts that ended within a deviance of 1 of the best."""
        return sum(each <= self.deviance + CLOSE for each in self.starts)

    @property
    def unidentified(self) -> dict[str, str]:
        """Status of every parameter that the curves do not identify."""
        every = self.parameters.items()
        return {name: each.status for name, each in every if not each.is_identified}

    def index_of(self, parameter: str) -> int:
        """Return the index of a free parameter in theta; `UsageError` if it is not free."""
        names = [free.name for free in self.problem.free]
        if parameter not in names:
            raise UsageError(
                f"{parameter!r} is not free in this fit; choose one of {', '.join(names)}"
            )
        return names.index(parameter)

    def estimate_between(
        self, parameter: str, low: float, high: float, *, converged: bool = True
    ) -> Estimate:
        """Return the estimate of a free parameter from the places of its interval's ends."""
        k = self.index_of(parameter)
        x = float(self.theta[k])
        if not (self.converged and converged):
            status = NOT_CONVERGED
        elif self.parameters[parameter].status == UNIDENTIFIABLE:
            status = UNIDENTIFIABLE
        else:
            status = status_of(x, low, high)
        return make_estimate(self.problem, self.problem.free[k], x, low, high, status)

    @property
    def cautions(self) -> list[str]:
        """Reasons to doubt the fit, in sentences; none if no problem is known."""
        found = self.problem.cautions
        if not self.converged:
            n = self.provenance["max_iterations"]
            found.append(f"stopped after {n} iterations, before convergence")
        if not self.integration_error <= MAX_INTEGRATION_ERROR:  # it may be NaN
            error = f"{self.integration_error:.1%} of their range"
            found.append(f"the theory's curves have an integration error of {error}")
        if n := self.provenance["n_left_out"]:
            found.append(
                f"{n} starts ended at better optima that are left out: the theory's curves are not "
                "computed accurately there"
            )
        statuses = {self.parameters[each.name].status for each in self.problem.free}
        if not statuses & {IDENTIFIABLE, NOT_CONVERGED}:
            found.append("no parameter is identifiable: these curves do not determine the theory")
        if {name for run in self.problem.runs for name in run.values} == {"train"}:
            found.append(
                "only training was measured, which does not show the strategy: what the fit says "
                "of ICL and CIWL rests on the theory alone"
            )
        if flat := [name for name, each in self.curves.items() if each.gain == 0]:
            found.append(f"the fitted gain of {', '.join(flat)} is 0")
        poor = [f"{name} ({each.r2:.2f})" for name, each in self.curves.items() if each.r2 < LOW_R2]
        if poor:
            found.append(
                f"R2 is below {LOW_R2:g} for {', '.join(poor)}: the theory misses the shape"
            )
        smooth = [
            name
            for name, each in self.curves.items()
            if each.rho >= NEAR_LARGEST_RHO * self.problem.largest_rho(each.n)
        ]
        if smooth:
            found.append(
                f"the noise correlation of {', '.join(smooth)} is at its limit: a smooth misfit of "
                "the theory counts as noise only in part, so intervals may be too narrow"
            )
        if len(self.starts) > 1 and self.n_starts_at_best <= max(1, FEW * len(self.starts)):
            share = f"{self.n_starts_at_best} of {len(self.starts)} starts"
            found.append(f"only {share} ended near the best optimum: there may be a better one")
        return found

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, without the curves' samples."""
        return {
            "theory": self.theory,
            "times_from": list(self.times_from),
            "parameters": {name: asdict(each) for name, each in self.parameters.items()},
            "curves": {name: fit.to_dict() for name, fit in self.curves.items()},
            "starts": list(self.starts),
            "n_starts_at_best": self.n_starts_at_best,
            "converged": self.converged,
            "cautions": self.cautions,
            "n_effective": self.n_effective,
            "n_fitted": self.n_fitted,
            "bic": self.bic,
            "aicc": self.aicc,
            "directions": [asdict(each) for each in self.directions],
            "integration_error": self.integration_error,
            "provenance": self.provenance,
        }

    def summary(self) -> str:
        """Return a report of one page of text."""
        aicc = "-" if self.aicc is None else f"{self.aicc:.1f}"
        worst = self.directions[0]
        certainty = f"known to {worst.deviation:.2g} of the search range"
        unused = zip(self.provenance["sources"], self.provenance["unused"], strict=True)
        return "\n".join(
            [
                trust_line(self.cautions, TRUSTED),
                "",
                text_table(self._curve_rows()),
                "",
                f"theory {self.theory}, BIC {self.bic:.1f}, AICc {aicc}",
                origin_line(self.times_from),
                text_table(self._parameter_rows()),
                *(
                    wrap_text(f"not fitted: {abbreviate(n, 10)} of {source}")
                    for source, n in unused
                    if n
                ),
                wrap_text(
                    f"the least certain combination: {worst}, "
                    f"{certainty if worst.deviation <= 1 else 'unconstrained'}"
                ),
                "",
                f"{self.n_starts_at_best} of {len(self.starts)} starts ended at the best optimum",
            ]
        )

    def _curve_rows(self) -> Iterator[tuple[str, ...]]:
        head = ("sigma", "rho", "samples", "used", "effective samples")
        levels = ("floor", "gain") if self.problem.theory.has_levels else ()
        yield ("curve", "R2", "RMSE", *levels, *head)
        for name, fit in self.curves.items():
            numbers = (f"{getattr(fit, each):.4g}" for each in ("rmse", *levels, "sigma"))
            sizes = (str(self.provenance["n_given"][name]), str(fit.n), f"{fit.n_effective:.1f}")
            yield (name, f"{fit.r2:.4f}", *numbers, f"{fit.rho:.2f}", *sizes)

    def _parameter_rows(self) -> Iterator[tuple[str, ...]]:
        yield ("parameter", "value", "low", "high", "(90 % interval)", "")
        by_name = dict(zip(self.problem.theory.names, self.problem.theory.parameters, strict=True))
        for name, each in self.parameters.items():
            parameter = by_name[name.rpartition("/")[2]]
            numbers = (f"{number:.4g}" for number in (each.value, each.low, each.high))
            yield (name, *numbers, each.status, parameter.description + UNITS[parameter.per_time])

    def headline(self) -> str:
        """Return the theory, R2 of every curve, and cautions."""
        quality = ", ".join(f"{name} R2 {fit.r2:.4f}" for name, fit in self.curves.items())
        return f"of {self.theory}: {quality}{''.join(f'; {each}' for each in self.cautions)}"

    def columns(self) -> dict[str, Any]:
        """Return `curve`, `sequences`, `measured`, `fitted`; a row is a sample of a curve."""
        names = np.repeat([*self.curves], [each.n for each in self.curves.values()])
        parts = {
            column: np.concatenate([getattr(each, column) for each in self.curves.values()])
            for column in SAMPLES
        }
        return {"curve": names, **parts}

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Draw measured curves and the fitted theory; see `coopetition.plot.fits`."""
        from coopetition.plot.fits import plot_fit

        return plot_fit(self, ax=ax)

    def to_saved(self) -> dict[str, Any]:
        """Return plain values, with the curves' samples, the problem and all optima."""
        samples = {
            name: {column: getattr(each, column) for column in SAMPLES}
            for name, each in self.curves.items()
        }
        problem = self.problem.to_dict()
        more = {"samples": samples, "problem": problem, "theta": self.theta, "optima": self.optima}
        return self.to_dict() | more

    @classmethod
    def from_saved(cls, saved: dict[str, Any], *theories: Theory) -> Self:
        """Return the fit of `to_saved`; a theory without a name in commands must be given."""
        if "n_left_out" not in saved["provenance"]:
            raise UsageError("the fit was saved by an earlier version; fit its curves again")
        curves = {}
        for name, statistics in saved["curves"].items():
            samples = saved["samples"][name].items()
            arrays: dict[str, Any] = {column: np.array(v, float) for column, v in samples}
            curves[name] = CurveFit(**statistics, **arrays)
        noise = {name: Noise(each.sigma, each.rho) for name, each in curves.items()}
        return cls(
            FitProblem.from_dict(saved["problem"], theories).with_noise(noise),
            np.array(saved["theta"], float),
            {name: Estimate(**values) for name, values in saved["parameters"].items()},
            curves,
            tuple(saved["starts"]),
            saved["converged"],
            saved["n_fitted"],
            tuple(
                Direction(_not_null(each["deviation"], math.inf), each["weights"])
                for each in saved["directions"]
            ),
            _not_null(saved["integration_error"], math.nan),
            np.array(saved["optima"], float),
            saved["provenance"],
        )


def _not_null(saved: float | None, replacement: float) -> float:
    """Return a saved number; JSON has null in place of infinity and NaN."""
    return replacement if saved is None else saved
