"""What a fit gives: curves, parameters and how sure they are; it saves, loads and prints."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from coopetition.tools.errors import UserError
from coopetition.tools.files import check_readable, write_json
from coopetition.tools.tables import html_table, to_frame

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from pandas import DataFrame

Array = NDArray[np.float64]

TOLERATED_ERROR = 1e-2  # of the integrator, relative to a curve's range
REMARKS = {
    "ok": "",
    "open": "   open: the curves do not tell",
    "at bound": "   at the bound of its search",
}


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
    autocorrelation: float
    """Of residuals one after the other: the nearer to 1, the fewer of the samples count."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A parameter's value, and where the curves leave it: between low and high in 9 of 10."""

    value: float
    low: float
    high: float
    status: str
    """`ok`; `open` if an end lies at a bound of the search; `at bound` if the value does."""


@dataclass(frozen=True, slots=True, eq=False)
class Fit:
    """A theory fitted to curves.

    theory : its name
    parameters : by name; those of time are in sequences
    starts : cost (mean squared residual in units of each curve's variance) of every refined start,
    best first: many equal ones say that the best is no accident
    converged : whether the best start did
    bic, aicc : -2 log likelihood + numbers x log(samples), or what Akaike's criterion takes for few
        samples; residuals are taken to be autoregressive, in units of a curve's own
        deviation.  None where samples are too few
    integration_error : of the theory's curves at the answer, relative to a curve's range
    """

    theory: str
    parameters: dict[str, Estimate]
    curves: dict[str, CurveFit]
    starts: tuple[float, ...]
    converged: bool
    bic: float
    aicc: float | None
    integration_error: float
    sequences: Array
    observed: dict[str, Array]
    predicted: dict[str, Array]
    provenance: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, without the curves' samples."""
        return {
            "theory": self.theory,
            "parameters": {name: asdict(each) for name, each in self.parameters.items()},
            "curves": {name: asdict(fit) for name, fit in self.curves.items()},
            "starts": list(self.starts),
            "n_starts_at_best": self.n_starts_at_best,
            "converged": self.converged,
            "bic": self.bic,
            "aicc": self.aicc,
            "integration_error": self.integration_error,
            "provenance": self.provenance,
        }

    @property
    def at_bound(self) -> list[str]:
        """Parameters whose value lies at a bound of the search, so that it is no estimate."""
        return [name for name, each in self.parameters.items() if each.status == "at bound"]

    @property
    def n_starts_at_best(self) -> int:
        """How many starts ended within 10 % of the best cost."""
        return sum(cost <= 1.1 * self.starts[0] for cost in self.starts)

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
            off = f"{self.integration_error:.1%} of their range"
            found.append(f"the theory's curves are off by {off}")
        return found

    def summary(self) -> str:
        """A report of one page of text."""
        lines = [f"CAUTION: {'; '.join(self.cautions)}", ""] if self.cautions else []
        lines.append("curve        R2      RMSE     floor      gain     n  autocorrelation")
        for name, fit in self.curves.items():
            lines.append(
                f"{name:8} {fit.r2:7.4f} {fit.rmse:9.4g} {fit.floor:9.4g} {fit.gain:9.4g} {fit.n:5}"
                f"  {fit.autocorrelation:15.2f}"
            )
        lines += ["", f"theory {self.theory}, BIC {self.bic:.1f}"]
        lines.append(f"times count from the first sample, at {self.sequences[0]:.4g} sequences")
        lines.append("parameter          value       low      high   (9 of 10)")
        for name, each in self.parameters.items():
            remark = REMARKS[each.status]
            lines.append(f"{name:14} {each.value:9.4g} {each.low:9.4g} {each.high:9.4g}{remark}")
        same = f"{self.n_starts_at_best} of {len(self.starts)} starts"
        lines += ["", f"{same} ended within 10 % of the best cost"]
        return "\n".join(lines)

    def __repr__(self) -> str:
        quality = ", ".join(f"{name} R2 {fit.r2:.4f}" for name, fit in self.curves.items())
        return f"<Fit of {self.theory}: {quality}{''.join(f'; {each}' for each in self.cautions)}>"

    def _repr_html_(self) -> str:
        curves = [
            (name, f"R2 {fit.r2:.4f}", f"RMSE {fit.rmse:.4g}", f"{fit.n} samples")
            for name, fit in self.curves.items()
        ]
        parameters = [
            (name, f"{each.value:.4g}", f"{each.low:.4g} to {each.high:.4g}", REMARKS[each.status])
            for name, each in self.parameters.items()
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
                saved["theory"],
                {name: Estimate(**values) for name, values in saved["parameters"].items()},
                {name: CurveFit(**values) for name, values in saved["curves"].items()},
                tuple(saved["starts"]),
                saved["converged"],
                saved["bic"],
                saved["aicc"],
                float(np.array(saved["integration_error"], float)),  # null is NaN
                np.array(saved["sequences"], float),
                observed,
                predicted,
                saved["provenance"],
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(f"{path} is not a saved fit ({error!r})") from error
