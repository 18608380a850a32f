"""What a fit gives: curves, parameters and how sure they are; it saves, loads and prints."""

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from coopetition.compare.identifiability import (
    IDENTIFIABLE,
    UNSEEN_STATUS,
    Direction,
    deviations,
    directions,
    status,
)
from coopetition.compare.least_squares import Problem, Seen, errors_of
from coopetition.compare.noise import autocorrelations, curves_that_count, samples_that_count
from coopetition.compare.theory import Theory
from coopetition.tools.errors import UsageError, UserError, abbreviate
from coopetition.tools.files import check_readable, html_table, to_frame, write_json

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from pandas import DataFrame

Array = NDArray[np.float64]

LEVEL = 0.9  # of all intervals
FEW = 0.1  # of the starts: not more at the best are an accident
TOLERATED_ERROR = 1e-2  # of the integrator, relative to a curve's range
UNITS = {-1: ", in sequences", 0: "", 1: ", per sequence"}  # by `Parameter.per_time`
FIXED, UNFINISHED = "fixed", "not converged"


@dataclass(frozen=True, slots=True, eq=False)
class CurveFit:
    """How well one curve is met: measured = floor + gain x the theory's error of that name.

    Of a metric that is an accuracy, floor and gain are those of what is missing to 1.
    """

    floor: float
    gain: float
    r2: float
    """Coefficient of determination."""
    rmse: float
    """Root mean square residual, in the curve's unit."""
    autocorrelation: float
    """Of residuals one after the other."""
    n: int
    """Samples."""
    n_effective: float
    """As many as they are worth, since residuals are correlated."""
    sequences: Array
    measured: Array
    fitted: Array

    def to_dict(self) -> dict[str, Any]:
        """Plain values, without samples."""
        names = ("floor", "gain", "r2", "rmse", "autocorrelation", "n", "n_effective")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value, and where the curves leave it: between low and high in 9 of 10."""

    value: float
    low: float
    high: float
    status: str
    """`identifiable`; `open below`, `open above` or `open` if the interval reaches an end of the
    search (practically unidentifiable); `not seen` (structurally so); `at bound` if the value is at
    an end; `fixed`; `not converged`."""

    @property
    def told(self) -> bool:
        """Whether the curves tell it."""
        return self.status in (IDENTIFIABLE, FIXED)


@dataclass(frozen=True, eq=False)
class Fit:
    """A theory fitted to curves.

    parameters : by name, `RUN/NAME` of several runs; those of time are in sequences
    curves : by name, likewise
    starts : mean squared residual, in the problem's units, of every refined start, best first:
        many equal ones say that the best is no accident
    converged : whether the best start did
    n_effective : samples that count, of all curves
    n_numbers : that were chosen: parameters that the curves see, floors and gains above 0
    directions : combinations of parameters, from the worst told to the best
    integration_error : of the theory's curves at the answer, relative to a curve's range
    place : of the free parameters, between 0 and 1
    valleys : (n, free) places where starts ended that the curves allow too, the best first
    """

    problem: Problem
    place: Array
    parameters: dict[str, Estimate]
    curves: dict[str, CurveFit]
    starts: tuple[float, ...]
    converged: bool
    n_effective: float
    n_numbers: int
    directions: tuple[Direction, ...]
    integration_error: float
    valleys: Array
    provenance: dict[str, Any]

    @property
    def theory(self) -> str:
        """Its name."""
        return self.problem.theory.name

    @property
    def freedom(self) -> float:
        """Samples that count beyond the numbers that were chosen; at least 1."""
        return _freedom_and_quantile(self.n_effective, self.n_numbers)[0]

    @property
    def threshold(self) -> float:
        """The rise of freedom x (cost / least cost) at which 9 in 10 of a parameter are left."""
        return _freedom_and_quantile(self.n_effective, self.n_numbers)[1] ** 2

    @property
    def bic(self) -> float:
        """N log cost + numbers log N, with N the samples that count; the lower the better."""
        return self.bic_of(self.n_effective)

    def bic_of(self, n_effective: float) -> float:
        """`bic` if so many samples count: theories are compared at one number."""
        return n_effective * math.log(self._cost) + self.n_numbers * math.log(n_effective)

    @property
    def aicc(self) -> float | None:
        """N log cost + 2 numbers, with Akaike's correction; None where too few samples count."""
        return self.aicc_of(self.n_effective)

    def aicc_of(self, n_effective: float) -> float | None:
        """`aicc` if so many samples count."""
        k, spare = self.n_numbers, n_effective - self.n_numbers - 1
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

    @property
    def n_starts_at_best(self) -> int:
        """How many starts ended within 10 % of the best cost."""
        return sum(cost <= 1.1 * self.starts[0] for cost in self.starts)

    @property
    def untold(self) -> dict[str, str]:
        """Status of every parameter that the curves do not tell."""
        return {name: each.status for name, each in self.parameters.items() if not each.told}

    @property
    def cautions(self) -> list[str]:
        """Why it is to be read with care, in sentences; none if nothing is known to be amiss."""
        found = []
        if not self.converged:
            found.append(
                f"stopped after {self.provenance['max_iterations']} iterations, unfinished"
            )
        if not self.integration_error <= TOLERATED_ERROR:  # it may be NaN
            off = f"{self.integration_error:.1%} of their range"
            found.append(f"the theory's curves are computed to {off} only")
        if self.n_effective <= self.n_numbers:
            found.append(f"only {self.n_effective:.0f} samples count, for {self.n_numbers} numbers")
        if flat := [name for name, each in self.curves.items() if each.gain == 0]:
            found.append(f"nothing of {', '.join(flat)} is explained")
        if len(self.starts) > 1 and self.n_starts_at_best <= max(1, FEW * len(self.starts)):
            few = f"{self.n_starts_at_best} of {len(self.starts)} starts"
            found.append(f"only {few} ended near the best cost: there may be a better one")
        return found

    def to_dict(self) -> dict[str, Any]:
        """Plain values, without the curves' samples."""
        return {
            "theory": self.theory,
            "parameters": {name: asdict(each) for name, each in self.parameters.items()},
            "curves": {name: fit.to_dict() for name, fit in self.curves.items()},
            "starts": list(self.starts),
            "n_starts_at_best": self.n_starts_at_best,
            "converged": self.converged,
            "cautions": self.cautions,
            "n_effective": self.n_effective,
            "n_numbers": self.n_numbers,
            "bic": self.bic,
            "aicc": self.aicc,
            "directions": [asdict(each) for each in self.directions],
            "integration_error": self.integration_error,
            "provenance": self.provenance,
        }

    def summary(self) -> str:
        """A report of one page of text."""
        lines = [f"CAUTION: {'; '.join(self.cautions)}", ""] if self.cautions else []
        wide = max(8, *map(len, self.curves))
        lines.append(f"{'curve':{wide}}      R2      RMSE     floor      gain     n  that count")
        for name, fit in self.curves.items():
            lines.append(
                f"{name:{wide}} {fit.r2:7.4f} {fit.rmse:9.4g} {fit.floor:9.4g} {fit.gain:9.4g} "
                f"{fit.n:5}  {fit.n_effective:10.1f}"
            )
        aicc = "-" if self.aicc is None else f"{self.aicc:.1f}"
        counted = f"of {self.n_effective:.0f} samples that count in this fit"
        lines += ["", f"theory {self.theory}, BIC {self.bic:.1f}, AICc {aicc}, {counted}"]
        first = ", ".join({f"{run.sequences[0]:.4g}": None for run in self.problem.runs})
        lines.append(f"times count from the first sample, at {first} sequences")
        wide = max(14, *map(len, self.parameters))
        lines.append(f"{'parameter':{wide}}     value       low      high   (9 of 10)")
        by_name = dict(zip(self.problem.theory.names, self.problem.theory.parameters, strict=True))
        for name, each in self.parameters.items():
            meant = by_name[name.rpartition("/")[2]]
            lines.append(
                f"{name:{wide}} {each.value:9.4g} {each.low:9.4g} {each.high:9.4g}   "
                f"{each.status:13} {meant.what}{UNITS[meant.per_time]}"
            )
        lines += [f"thinned: {told}" for told in self._thinned()]
        lines += [f"not fitted: {told}" for told in self._unused()]
        worst = self.directions[0]
        far = worst.deviation
        told = "not told at all" if far > 1 else f"told to {far:.2g} of the search"
        lines.append(f"the worst told combination: {worst}, {told}")
        same = f"{self.n_starts_at_best} of {len(self.starts)} starts"
        lines += ["", f"{same} ended within 10 % of the best cost"]
        return "\n".join(lines)

    def _thinned(self) -> list[str]:
        """Of which runs not all samples were fitted, in words."""
        about = self.provenance
        return [
            f"{used} of {given} samples of {source} are fitted"
            for source, (given, used) in zip(about["sources"], about["samples"], strict=True)
            if used < given
        ]

    def _unused(self) -> list[str]:
        """Return the curves of each run that no theory describes, in words."""
        unused = self.provenance.get("unused", [])  # fits of earlier versions do not tell
        return [
            f"{abbreviate(names, 10)} of {source}"
            for source, names in zip(self.provenance["sources"], unused, strict=False)
            if names
        ]

    def __repr__(self) -> str:
        quality = ", ".join(f"{name} R2 {fit.r2:.4f}" for name, fit in self.curves.items())
        return f"<Fit of {self.theory}: {quality}{''.join(f'; {each}' for each in self.cautions)}>"

    def _repr_html_(self) -> str:
        curves = [
            (name, f"R2 {fit.r2:.4f}", f"RMSE {fit.rmse:.4g}", f"{fit.n} samples")
            for name, fit in self.curves.items()
        ]
        parameters = [
            (name, f"{each.value:.4g}", f"{each.low:.4g} to {each.high:.4g}", each.status)
            for name, each in self.parameters.items()
        ]
        return html_table([*(("caution", each) for each in self.cautions), *curves, *parameters])

    def to_frame(self) -> "DataFrame":
        """A row a sample of a curve: `curve`, `sequences`, `measured`, `fitted`."""
        columns: dict[str, Any] = {
            "curve": np.repeat([*self.curves], [each.n for each in self.curves.values()])
        }
        for column in ("sequences", "measured", "fitted"):
            parts = [getattr(each, column) for each in self.curves.values()]
            columns[column] = np.concatenate(parts)
        return to_frame(columns)

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Measured curves and the fitted theory; see `coopetition.plot.fits`."""
        from coopetition.plot.fits import plot_fit

        return plot_fit(self, ax=ax)

    def save(self, path: Path | str) -> None:
        """Write the fit, with its curves, as JSON."""
        samples = {
            name: {k: getattr(each, k).tolist() for k in ("sequences", "measured", "fitted")}
            for name, each in self.curves.items()
        }
        more = {
            "samples": samples,
            "problem": self.problem.to_dict(),
            "place": self.place.tolist(),
            "valleys": self.valleys.tolist(),
        }
        write_json(Path(path), self.to_dict() | more)

    @classmethod
    def load(cls, path: Path | str, theory: Theory | None = None) -> Self:
        """Read what `save` wrote; another file raises `UserError`.

        theory : of the fit, where it is one of your own; default: the theory of the saved name
        """
        check_readable(Path(path), "give a saved fit")
        try:
            saved = json.loads(Path(path).read_text())
            curves = {
                name: CurveFit(**values, **_arrays(saved["samples"][name]))
                for name, values in saved["curves"].items()
            }
            return cls(
                Problem.of_dict(saved["problem"], theory),
                np.array(saved["place"], float),
                {name: Estimate(**values) for name, values in saved["parameters"].items()},
                curves,
                tuple(saved["starts"]),
                saved["converged"],
                saved["n_effective"],
                saved["n_numbers"],
                tuple(
                    Direction(_number(each["deviation"], math.inf), each["weights"])
                    for each in saved["directions"]
                ),
                _number(saved["integration_error"], math.nan),
                np.array(saved["valleys"], float),
                saved["provenance"],
            )
        except UsageError:
            raise
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(f"{path} is not a saved fit ({error!r:.200})") from error


def _arrays(saved: dict[str, Any]) -> dict[str, Any]:
    return {name: np.array(values, float) for name, values in saved.items()}


def _number(saved: float | None, null: float) -> float:
    """A number from JSON, which has no infinity and no NaN."""
    return null if saved is None else saved


def fit_at(
    problem: Problem,
    places: Array,
    starts: tuple[float, ...],
    converged: bool,
    provenance: dict[str, Any],
) -> Fit:
    """The fit at the first of the places where starts ended, with intervals to first order."""
    place = places[0]
    names = [free.name for free in problem.free]
    slopes, seen = problem.slopes(place), problem.seen(place)
    told = sum(math.isfinite(each.deviation) for each in directions(slopes, 1.0, names))
    n_numbers = told + sum((each.floor > 0) + (each.gain > 0) for each in seen.values())
    curves = {
        name: _curve_at(problem, name, best, n_numbers / len(seen)) for name, best in seen.items()
    }
    n = sum(each.n for each in curves.values())
    n_effective = sum(_counted(problem, k, curves) for k in range(len(problem.runs)))
    freedom, quantile = _freedom_and_quantile(n_effective, n_numbers)
    found = directions(slopes, freedom / (n * max(problem.cost(place), 1e-30)), names)
    rise = freedom * (np.array(starts) / max(starts[0], 1e-30) - 1)
    valleys = places[rise <= quantile**2]
    return Fit(
        problem,
        place,
        _estimates(problem, valleys, quantile * deviations(found, names), converged)
        | _fixed(problem),
        curves,
        starts,
        converged,
        n_effective,
        n_numbers,
        found,
        _integration_error(problem, place),
        valleys,
        provenance,
    )


def _freedom_and_quantile(n_effective: float, n_numbers: int) -> tuple[float, float]:
    freedom = max(n_effective - n_numbers, 1.0)
    return freedom, float(student.ppf((1 + LEVEL) / 2, freedom))


def _counted(problem: Problem, run: int, curves: dict[str, CurveFit]) -> float:
    """Samples of a run that count: those of its curves, as far as these err by themselves."""
    names = [name for name, (own, _) in problem.where.items() if own == run]
    residuals = np.full((len(names), len(problem.runs[run].sequences)), np.nan)
    for row, name in zip(residuals, names, strict=True):
        row[problem.known[name]] = curves[name].measured - curves[name].fitted
    independent = curves_that_count(residuals) / len(names)
    return independent * sum(curves[name].n_effective for name in names)


def _curve_at(problem: Problem, name: str, best: Seen, numbers: float) -> CurveFit:
    run = problem.runs[problem.where[name][0]]
    y, metric = problem.errors[name], run.metric
    squares = float(best.residual @ best.residual)
    scaled = best.residual / problem.units[name]
    return CurveFit(
        best.floor,
        best.gain,
        1 - squares / float(np.sum((y - y.mean()) ** 2)),
        math.sqrt(squares / len(y)),
        float(autocorrelations(scaled)[1]),
        len(y),
        samples_that_count(scaled, numbers),
        run.sequences[problem.known[name]],
        errors_of(y, metric),
        errors_of(y + best.residual, metric),
    )


def _estimates(
    problem: Problem, valleys: Array, reaches: Array, converged: bool
) -> dict[str, Estimate]:
    found = {}
    for free, ends, reach in zip(problem.free, valleys.T, reaches, strict=True):
        x = float(ends[0])
        low = max(min(x - reach, ends.min()), 0.0)
        high = min(max(x + reach, ends.max()), 1.0)
        told = status(x, low, high, reach) if converged else UNFINISHED
        found[free.name] = estimate_of(problem, free.name, x, low, high, told)
    return found


def told_by(fit: Fit, name: str, low: float, high: float) -> str:
    """The status of a free parameter whose interval has its ends at these places."""
    if not fit.converged:
        return UNFINISHED
    place = fit.place[[free.name for free in fit.problem.free].index(name)]
    unseen = fit.parameters[name].status == UNSEEN_STATUS
    return status(float(place), low, high, math.inf if unseen else 0.0)


def estimate_of(
    problem: Problem, name: str, place: float, low: float, high: float, told: str
) -> Estimate:
    """A free parameter by places of its value and ends, in sequences where its unit has time."""
    parameter = next(free.parameter for free in problem.free if free.name == name)
    unit = problem.in_sequences(parameter)
    value, *ends = (float(parameter.from_unit(x)) * unit for x in (place, low, high))
    return Estimate(value, min(ends), max(ends), told)


def _fixed(problem: Problem) -> dict[str, Estimate]:
    numbers = {name: value for name, value in problem.fixed.items() if not isinstance(value, str)}
    return {name: Estimate(value, value, value, FIXED) for name, value in numbers.items()}


def _integration_error(problem: Problem, place: Array) -> float:
    """How far finer steps change a curve, relative to its range; 0 where there are no steps."""
    coarse, finer_theory = problem.outputs(place, problem.times), problem.theory.finer()
    errors = []
    for run, row in problem.where.values():
        finer = finer_theory.curves(problem.values(place)[run], problem.times[run])[row]
        extent, off = np.ptp(finer), np.ptp(finer - coarse[run][row])
        errors.append(off / extent if extent > 0 else off)
    return float(np.max(errors))  # NaN if one is
