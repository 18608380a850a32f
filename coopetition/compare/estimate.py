"""Fitting the minimal model to measured curves."""

import json
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import OptimizeResult, least_squares
from scipy.stats import qmc

from coopetition.compare.curves import Curves
from coopetition.compare.observation import N_GRID, OBSERVED, SEARCH, ToyCurves
from coopetition.model.declaration import check_whole
from coopetition.tools.errors import UsageError, UserError, expect
from coopetition.tools.files import check_readable, write_json
from coopetition.tools.progress import ProgressReport
from coopetition.tools.tables import html_table, to_frame

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from pandas import DataFrame

Array = NDArray[np.float64]

MIN_SAMPLES = 20  # a curve with fewer says little about seven parameters
LARGEST = 1e6  # of a loss
AT_BOUND = 1e-3  # of the width of a search: nearer to its end is at it
TOLERATED_ERROR = 1e-2  # of the integrator, relative to a curve's range


@dataclass(frozen=True, slots=True)
class CurveFit:
    """How well one curve is met: observed = floor + gain x toy's loss."""

    floor: float
    gain: float
    r2: float
    """Coefficient of determination."""
    rmse: float
    """Root mean square residual, in the curve's unit."""
    n: int
    """Samples."""


@dataclass(frozen=True, slots=True, eq=False)
class Fit:
    """The minimal model fitted to curves.

    parameters : value by name, see `coopetition.compare.observation`
    at_bound : those that ended at a bound of their search, so that their value is no estimate
    starts : cost (mean squared residual in units of each curve's variance) of every refined start,
    best first: many equal ones say that the best is no accident
    converged : whether the best start did
    integration_error : of the toy's curves at the answer, relative to a curve's range
    """

    parameters: dict[str, float]
    at_bound: tuple[str, ...]
    curves: dict[str, CurveFit]
    starts: tuple[float, ...]
    converged: bool
    integration_error: float
    sequences: Array
    observed: dict[str, Array]
    predicted: dict[str, Array]
    provenance: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, without the curves' samples."""
        return {
            "parameters": self.parameters,
            "at_bound": list(self.at_bound),
            "curves": {name: asdict(fit) for name, fit in self.curves.items()},
            "starts": list(self.starts),
            "converged": self.converged,
            "integration_error": self.integration_error,
            "provenance": self.provenance,
        }

    @property
    def cautions(self) -> list[str]:
        """Why it is to be read with care, in sentences; none if nothing is known to be amiss."""
        found = []
        if not self.converged:
            found.append(
                f"stopped after {self.provenance['max_iterations']} iterations, unfinished"
            )
        if self.at_bound:
            found.append(f"at a bound of the search: {', '.join(self.at_bound)}")
        if not self.integration_error <= TOLERATED_ERROR:  # it may be NaN
            found.append(f"the toy's curves are off by {self.integration_error:.1%} of their range")
        return found

    def summary(self) -> str:
        """A report of one page of text."""
        lines = [f"CAUTION: {'; '.join(self.cautions)}", ""] if self.cautions else []
        lines.append("curve        R2      RMSE     floor      gain     n")
        for name, fit in self.curves.items():
            lines.append(
                f"{name:8} {fit.r2:7.4f} {fit.rmse:9.4g} {fit.floor:9.4g} {fit.gain:9.4g} {fit.n:5}"
            )
        lines += ["", "parameter          value"]
        for name, value in self.parameters.items():
            remark = "   at the bound of its search" if name in self.at_bound else ""
            lines.append(f"{name:14} {value:9.4g}{remark}")
        same = sum(cost < 1.1 * self.starts[0] for cost in self.starts)
        lines += ["", f"{same} of {len(self.starts)} starts ended within 10 % of the best cost"]
        return "\n".join(lines)

    def __repr__(self) -> str:
        quality = ", ".join(f"{name} R2 {fit.r2:.4f}" for name, fit in self.curves.items())
        return f"<Fit of {quality}{''.join(f'; {each}' for each in self.cautions)}>"

    def _repr_html_(self) -> str:
        curves = [
            (name, f"R2 {fit.r2:.4f}", f"RMSE {fit.rmse:.4g}", f"{fit.n} samples")
            for name, fit in self.curves.items()
        ]
        parameters = [
            (name, f"{value:.4g}", "at a bound" if name in self.at_bound else "")
            for name, value in self.parameters.items()
        ]
        return html_table([*(("caution", each) for each in self.cautions), *curves, *parameters])

    def to_frame(self) -> "DataFrame":
        """A row a sample: `sequences`, then `NAME` and `NAME fitted` for every curve."""
        columns = {"sequences": self.sequences}
        for name, values in self.observed.items():
            columns |= {name: values, f"{name} fitted": self.predicted[name]}
        return to_frame(columns)

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Measured curves and the fitted model; see `coopetition.plot.fits`."""
        from coopetition.plot.fits import plot_fit

        return plot_fit(self, ax=ax)

    def save(self, path: Path | str) -> None:
        """Write the fit, with its curves, as JSON."""
        samples: dict[str, Any] = {"sequences": self.sequences.tolist()}
        for kind, curves in (("observed", self.observed), ("predicted", self.predicted)):
            samples[kind] = {name: values.tolist() for name, values in curves.items()}
        write_json(Path(path), self.to_dict() | samples)

    @classmethod
    def load(cls, path: Path | str) -> Self:
        """Read what `save` wrote; another file raises `UserError`."""
        check_readable(Path(path), "give a saved fit")
        try:
            saved = json.loads(Path(path).read_text())
            observed, predicted = (
                {name: np.array(values, float) for name, values in saved[kind].items()}
                for kind in ("observed", "predicted")
            )
            return cls(
                saved["parameters"],
                tuple(saved["at_bound"]),
                {name: CurveFit(**values) for name, values in saved["curves"].items()},
                tuple(saved["starts"]),
                saved["converged"],
                float(np.array(saved["integration_error"], float)),  # null is NaN
                np.array(saved["sequences"], float),
                observed,
                predicted,
                saved["provenance"],
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(f"{path} is not a saved fit ({error!r})") from error


def fit(
    curves: Curves,
    *,
    seed: int = 0,
    n_screened: int = 2048,
    n_starts: int = 32,
    max_iterations: int = 300,
) -> Fit:
    """Fit the minimal model to train, ICL and CIWL curves (those of them that there are).

    Screens `n_screened` parameter sets of a Latin hypercube over `SEARCH`, and refines the best
    `n_starts` by `scipy.optimize.least_squares` within its bounds, each for at most
    `max_iterations` evaluations; floor and gain of each curve are solved for exactly at every one
    (variable projection).  Each curve counts with its variance as unit.

    Raises
    ------
    UsageError : none of the curves is there, or one has too few samples or does not vary

    Notes
    -----
    The parameters describe the curves; they are not all identifiable one by one (see `starts`).
    """
    expect(curves, Curves, "Curves (`read_curves` reads a run's or a file's)")
    check_whole("seed", seed, 0)
    check_whole("the number of starts", n_starts, 1)
    check_whole(f"n_screened, out of which {n_starts} are refined,", n_screened, n_starts)
    used = {name: curves.values[name] for name in OBSERVED if name in curves.values}
    if not used:
        raise UsageError(
            f"there are the curves {', '.join(curves.values) or 'none'}; "
            f"expected some of {', '.join(OBSERVED)}"
        )
    for name, values in used.items():
        n = int(np.isfinite(values).sum())
        if n < MIN_SAMPLES:
            raise UsageError(
                f"curve {name} has {n} samples here; expected at least {MIN_SAMPLES}: fit a longer "
                "part, or measure more often"
            )
        if not 0 < np.nanmax(np.abs(values - np.nanmean(values))) < LARGEST:
            raise UsageError(f"curve {name} is constant, or too large to be a loss; leave it out")
    problem = _Problem(curves.sequences, used)
    places = qmc.LatinHypercube(len(SEARCH), rng=np.random.default_rng(seed)).random(n_screened)
    costs = np.array([np.mean(problem.residuals(place) ** 2) for place in places])
    ends = []
    with ProgressReport("fit", n_starts, "starts") as report:
        for place in places[np.argsort(costs)[:n_starts]]:
            end = least_squares(problem.residuals, place, bounds=(0, 1), max_nfev=max_iterations)
            ends.append(end)
            report.advance(note=f"best cost {min(_cost(end) for end in ends):.4g}")
    settings = {
        "seed": seed,
        "n_screened": n_screened,
        "n_starts": n_starts,
        "max_iterations": max_iterations,
        "search": {name: asdict(search) for name, search in SEARCH.items()},
        "source": curves.source,
    }
    return problem.report(sorted(ends, key=_cost), settings)


def _cost(end: OptimizeResult) -> float:
    """Mean squared residual."""
    return float(np.mean(end.fun**2))


class _Problem:
    """Residuals of the curves as a function of the parameters' places in their search."""

    def __init__(self, sequences: Array, observed: dict[str, Array]) -> None:
        self.sequences, self.observed = sequences, observed
        self.position = (sequences - sequences[0]) / (sequences[-1] - sequences[0])
        self.toy = ToyCurves(self.position)

    def _named(self, place: Array) -> dict[str, float]:
        pairs = zip(SEARCH.items(), place.tolist(), strict=True)
        return {name: search.from_unit(x) for (name, search), x in pairs}

    def residuals(self, place: Array) -> Array:
        """Residuals of all curves' samples, in units of each curve's deviation."""
        toy = self.toy(self._named(place))
        parts = []
        for name, values in self.observed.items():
            known = np.isfinite(values)
            y, f = values[known], toy[name][known]
            floor, gain = _affine(y, f)
            parts.append((floor + gain * f - y) / np.std(y))
        # a set that the integrator could not follow fits worse than a constant
        return np.nan_to_num(np.concatenate(parts), nan=3.0)

    def report(self, ends: list[OptimizeResult], settings: dict[str, Any]) -> Fit:
        """The fit at the first of the ends, the best."""
        x = ends[0].x
        parameters = self._named(x)
        toy, finer = self.toy(parameters), ToyCurves(self.position, 2 * N_GRID)(parameters)
        error = max(float(np.ptp(finer[c] - toy[c]) / np.ptp(finer[c])) for c in self.observed)
        curves, predicted = {}, {}
        for name, values in self.observed.items():
            known = np.isfinite(values)
            y = values[known]
            floor, gain = _affine(y, toy[name][known])
            predicted[name] = floor + gain * toy[name]
            residual = predicted[name][known] - y
            r2 = 1 - float(residual @ residual) / float(np.sum((y - y.mean()) ** 2))
            rmse = float(np.sqrt(np.mean(residual**2)))
            curves[name] = CurveFit(floor, gain, r2, rmse, len(y))
        at_bound = (x < AT_BOUND) | (x > 1 - AT_BOUND)
        return Fit(
            parameters,
            tuple(name for name, there in zip(SEARCH, at_bound, strict=True) if there),
            curves,
            tuple(map(_cost, ends)),
            bool(ends[0].status > 0),
            error,
            self.sequences,
            self.observed,
            predicted,
            settings
            | {"versions": {name: version(name) for name in ("coopetition", "numpy", "scipy")}},
        )


def _affine(y: Array, f: Array) -> tuple[float, float]:
    """Floor and gain, neither negative, that bring f (n,) closest to y (n,)."""
    centred = f - f.mean()
    variance, power = centred @ centred, f @ f
    gain = max(centred @ (y - y.mean()), 0.0) / variance if variance > 0 else 0.0
    floor = y.mean() - gain * f.mean()
    if floor < 0:
        floor, gain = 0.0, max(f @ y, 0.0) / power if power > 0 else 0.0
    return float(floor), float(gain)
