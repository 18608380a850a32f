"""The result of a fit: parameters with intervals, curves and diagnostics."""

import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import t as student

from coopetition.compare.identifiability import (
    FIXED,
    IDENTIFIABLE,
    NOT_CONVERGED,
    UNIDENTIFIABLE,
    Direction,
    status_of,
)
from coopetition.compare.least_squares import FitProblem, to_errors
from coopetition.compare.theory import Theory
from coopetition.tools.checks import check_real_array
from coopetition.tools.errors import UsageError, UserError, abbreviate
from coopetition.tools.files import check_readable, text_table, write_json
from coopetition.tools.results import Result

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
STATISTICS = ("floor", "gain", "r2", "rmse", "autocorrelation", "n", "n_effective")


@dataclass(frozen=True, slots=True, eq=False)
class CurveFit:
    """A fitted curve: measured = floor + gain x the theory's error of that name.

    If the metric is an accuracy, floor and gain are those of 1 minus the accuracy.

    r2 : coefficient of determination
    rmse : root mean square residual, in the curve's unit
    autocorrelation : of neighbouring residuals
    n, n_effective : samples, and the number of independent ones that they are worth
    """

    floor: float
    gain: float
    r2: float
    rmse: float
    autocorrelation: float
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

    status : `identifiable`; `no lower bound`, `no upper bound` or `no bounds` if the interval
        reaches an end of the search (practically unidentifiable); `structurally unidentifiable`;
        `at bound` if the value is at an end of the search; `fixed`; `not converged`
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
    problem: FitProblem, name: str, x: float, low: float, high: float, status: str
) -> Estimate:
    """Return the estimate of a free parameter from the places of its value and ends."""
    parameter = next(free.parameter for free in problem.free if free.name == name)
    unit = problem.in_sequences(parameter)
    value, *ends = (float(parameter.from_unit(each)) * unit for each in (x, low, high))
    return Estimate(value, min(ends), max(ends), status)


def dof_and_quantile(n_effective: float, n_fitted: int) -> tuple[float, float]:
    """Return residual degrees of freedom, at least 1, and Student's quantile for `LEVEL`."""
    dof = max(n_effective - n_fitted, 1.0)
    return dof, float(student.ppf(ENDS[1], dof))


@dataclass(frozen=True, eq=False, repr=False)
class Fit(Result):
    """A theory fitted to curves.

    theta : (free,) the free parameters, as places in their search
    parameters : by name, `RUN/NAME` with several runs; in sequences if their unit has time
    curves : by name, likewise
    starts : mean squared residual, in the problem's units, of every refined start, best first
    converged : whether the best start did
    n_effective : effective sample size of all curves
    n_fitted : fitted numbers: identifiable combinations of parameters, and floors and gains above 0
    directions : combinations of parameters, the least certain first
    integration_error : of the theory's curves, relative to a curve's range
    accepted_optima : (n, free) optima of starts within the interval's threshold, best first
    provenance : settings, sources and versions
    """

    problem: FitProblem
    theta: Array
    parameters: dict[str, Estimate]
    curves: dict[str, CurveFit]
    starts: tuple[float, ...]
    converged: bool
    n_effective: float
    n_fitted: int
    directions: tuple[Direction, ...]
    integration_error: float
    accepted_optima: Array
    provenance: dict[str, Any]

    @property
    def theory(self) -> str:
        """Name of the theory."""
        return self.problem.theory.name

    @property
    def residual_dof(self) -> float:
        """Effective sample size minus fitted numbers; at least 1."""
        return dof_and_quantile(self.n_effective, self.n_fitted)[0]

    @property
    def threshold(self) -> float:
        """Rise of residual_dof x (cost / least cost) at the ends of a parameter's interval."""
        return dof_and_quantile(self.n_effective, self.n_fitted)[1] ** 2

    @property
    def bic(self) -> float:
        """N log cost + n_fitted log N, with N the effective sample size; lower is better."""
        return self.bic_at(self.n_effective)

    def bic_at(self, n_effective: float) -> float:
        """Return the BIC at another effective sample size; theories are compared at one."""
        return n_effective * math.log(self._cost) + self.n_fitted * math.log(n_effective)

    @property
    def aicc(self) -> float | None:
        """N log cost + 2 n_fitted, with the correction for small N; None if N is too small."""
        return self.aicc_at(self.n_effective)

    def aicc_at(self, n_effective: float) -> float | None:
        """Return the AICc at another effective sample size."""
        k, spare = self.n_fitted, n_effective - self.n_fitted - 1
        if spare <= 0:
            return None
        return n_effective * math.log(self._cost) + 2 * k * (1 + (k + 1) / spare)

    @property
    def _cost(self) -> float:
        return max(self.starts[0], 1e-30)

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
        UsageError : sequences that are not finite numbers, or lie beyond `MAX_REACH` times the data
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
        """Number of starts that ended within 10 % of the best cost."""
        return sum(cost <= 1.1 * self.starts[0] for cost in self.starts)

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
        x = float(self.theta[self.index_of(parameter)])
        if not (self.converged and converged):
            status = NOT_CONVERGED
        elif self.parameters[parameter].status == UNIDENTIFIABLE:
            status = UNIDENTIFIABLE
        else:
            status = status_of(x, low, high)
        return make_estimate(self.problem, parameter, x, low, high, status)

    @property
    def cautions(self) -> list[str]:
        """Reasons to doubt the fit, in sentences; none if no problem is known."""
        found = []
        if not self.converged:
            n = self.provenance["max_iterations"]
            found.append(f"stopped after {n} iterations, before convergence")
        if not self.integration_error <= MAX_INTEGRATION_ERROR:  # it may be NaN
            error = f"{self.integration_error:.1%} of their range"
            found.append(f"the theory's curves have an integration error of {error}")
        if self.n_effective <= self.n_fitted:
            found.append(
                f"the effective sample size is only {self.n_effective:.0f}, for {self.n_fitted} "
                "fitted numbers"
            )
        if flat := [name for name, each in self.curves.items() if each.gain == 0]:
            found.append(f"the fitted gain of {', '.join(flat)} is 0")
        if len(self.starts) > 1 and self.n_starts_at_best <= max(1, FEW * len(self.starts)):
            share = f"{self.n_starts_at_best} of {len(self.starts)} starts"
            found.append(f"only {share} ended near the best cost: there may be a better one")
        return found

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, without the curves' samples."""
        return {
            "theory": self.theory,
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
        lines = [f"CAUTION: {'; '.join(self.cautions)}", ""] if self.cautions else []
        aicc = "-" if self.aicc is None else f"{self.aicc:.1f}"
        size = f"effective sample size {self.n_effective:.0f} in this fit"
        first = ", ".join({f"{run.sequences[0]:.4g}": None for run in self.problem.runs})
        worst = self.directions[0]
        certainty = f"known to {worst.deviation:.2g} of the search"
        unused = zip(self.provenance["sources"], self.provenance["unused"], strict=True)
        return "\n".join(
            [
                *lines,
                text_table(self._curve_rows()),
                "",
                f"theory {self.theory}, BIC {self.bic:.1f}, AICc {aicc}, {size}",
                f"times count from the first sample, at {first} sequences",
                text_table(self._parameter_rows()),
                *(f"not fitted: {abbreviate(n, 10)} of {source}" for source, n in unused if n),
                f"the least certain combination: {worst}, "
                f"{certainty if worst.deviation <= 1 else 'unknown'}",
                "",
                f"{self.n_starts_at_best} of {len(self.starts)} starts ended within 10 % of the "
                "best cost",
            ]
        )

    def _curve_rows(self) -> Iterator[tuple[str, ...]]:
        yield ("curve", "R2", "RMSE", "floor", "gain", "samples", "used", "effective size")
        for name, fit in self.curves.items():
            numbers = (f"{each:.4g}" for each in (fit.rmse, fit.floor, fit.gain))
            sizes = (str(self.provenance["n_given"][name]), str(fit.n), f"{fit.n_effective:.1f}")
            yield (name, f"{fit.r2:.4f}", *numbers, *sizes)

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

    def save(self, path: Path | str) -> None:
        """Write the fit, with its curves, as JSON."""
        samples = {
            name: {column: getattr(each, column).tolist() for column in SAMPLES}
            for name, each in self.curves.items()
        }
        more = {
            "samples": samples,
            "problem": self.problem.to_dict(),
            "theta": self.theta.tolist(),
            "accepted_optima": self.accepted_optima.tolist(),
        }
        write_json(Path(path), self.to_dict() | more)

    @classmethod
    def load(cls, path: Path | str, theory: Theory | None = None) -> Self:
        """Read a file of `save`; any other file raises `UserError`.

        theory : the fitted theory, if it is not in `theories()`
        """
        check_readable(Path(path), "give a saved fit")
        try:
            saved = json.loads(Path(path).read_text())
            if "n_given" not in saved["provenance"]:
                raise UserError(f"{path} was saved by an earlier version; fit its curves again")
            curves = {}
            for name, statistics in saved["curves"].items():
                samples = saved["samples"][name].items()
                arrays: dict[str, Any] = {column: np.array(v, float) for column, v in samples}
                curves[name] = CurveFit(**statistics, **arrays)
            return cls(
                FitProblem.from_dict(saved["problem"], theory),
                np.array(saved["theta"], float),
                {name: Estimate(**values) for name, values in saved["parameters"].items()},
                curves,
                tuple(saved["starts"]),
                saved["converged"],
                saved["n_effective"],
                saved["n_fitted"],
                tuple(
                    Direction(_not_null(each["deviation"], math.inf), each["weights"])
                    for each in saved["directions"]
                ),
                _not_null(saved["integration_error"], math.nan),
                np.array(saved["accepted_optima"], float),
                saved["provenance"],
            )
        except UserError:
            raise
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(f"{path} is not a saved fit ({error!r:.200})") from error


def _not_null(saved: float | None, replacement: float) -> float:
    """Return a saved number; JSON has null in place of infinity and NaN."""
    return replacement if saved is None else saved
