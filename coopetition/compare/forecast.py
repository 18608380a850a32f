"""Forecasts of a fitted theory: events and final values, with intervals.

Events, in sequences, are read off the curves as they would be measured (floor and gain included):

- `peak`: ICL's error is lowest
- `crossing`: from the peak on, CIWL's error is lower than ICL's
- `fade`: from the peak on, CIWL is preferred where the two disagree (`preference` below 0); in a
  run's timeline, Flip accuracy falls below one half

A crossing or fade that is there at the peak already has the peak's time.  `final` values are those
of the curves at the horizon.  Intervals are quantiles of a posterior sample: an event that part of
the sample does not have by the horizon has no upper end, and the status `no upper bound`.  The
expected value is that of the best fit; if it lies outside the interval, the status says so.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from coopetition.compare.identifiability import IDENTIFIABLE, NO_UPPER_BOUND, NOT_CONVERGED
from coopetition.compare.least_squares import FitProblem, to_errors
from coopetition.compare.posterior import Posterior
from coopetition.compare.result import ENDS
from coopetition.compare.theory import OUTPUTS
from coopetition.dynamics.events import find_forecast_events
from coopetition.tools.errors import UsageError
from coopetition.tools.files import text_table, write_json
from coopetition.tools.results import Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Array = NDArray[np.float64]

MEANINGS = (
    "peak: ICL's error is lowest; from then on, crossing: CIWL's error is lower than ICL's, and "
    "fade: CIWL is preferred where the two disagree"
)
N_SAMPLES = 1000  # of a forecast curve
FARTHEST = 100  # times the length of the known part
NOT_BY_HORIZON = "not by the horizon"
OUTSIDE = "the best fit lies outside"


@dataclass(frozen=True, slots=True)
class Expected:
    """A time or a value with its 90 % interval; None: not by the horizon."""

    value: float | None
    low: float | None
    high: float | None
    status: str


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Forecast(Result):
    """The forecast of a theory fitted to a run.

    metric : of the curves
    known_until, horizon : in sequences
    events : `FORECAST_EVENTS` by name, in sequences
    final : the curves at the horizon
    sequences : (n,) of the curves
    curves : name -> (3, n): the best fit, and the ends of 90 % of the posterior sample
    cautions : of the fit
    """

    theory: str
    metric: str
    known_until: float
    horizon: float
    events: dict[str, Expected]
    final: dict[str, Expected]
    sequences: Array
    curves: dict[str, Array]
    cautions: list[str]
    provenance: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, without the curves."""
        return {
            "theory": self.theory,
            "metric": self.metric,
            "cautions": self.cautions,
            "known_until": self.known_until,
            "horizon": self.horizon,
            "events": {name: asdict(each) for name, each in self.events.items()},
            "final": {name: asdict(each) for name, each in self.final.items()},
            "provenance": self.provenance,
        }

    def save(self, path: Path | str) -> None:
        """Write the forecast, with its curves, as JSON."""
        curves = {name: rows.tolist() for name, rows in self.curves.items()}
        more = {"sequences": self.sequences.tolist(), "curves": curves}
        write_json(Path(path), self.to_dict() | more)

    def summary(self) -> str:
        """Return a table of text."""
        lines = [f"CAUTION: {'; '.join(self.cautions)}", ""] if self.cautions else []
        head = ("expected", "low", "high", "(90 % interval)")
        events: list[tuple[str, ...]] = [("event in sequences", *head)]
        final: list[tuple[str, ...]] = [(self.metric.replace("_", " "), *head)]
        for name, each in self.events.items():
            remarks = []
            if each.value is not None:
                if name != "peak" and each.value == self.events["peak"].value:
                    remarks.append("at the peak already")
                if each.value <= self.known_until:
                    remarks.append("in the known part")
            events.append(_format_row(name, each, remarks))
        final += [_format_row(name, each) for name, each in self.final.items()]
        return "\n".join(
            [
                *lines,
                f"theory {self.theory}, known until {self.known_until:.4g} sequences",
                text_table(events),
                MEANINGS,
                f"at {self.horizon:.4g} sequences",
                text_table(final),
            ]
        )

    def headline(self) -> str:
        """Return the theory, the known part, and the expected events."""
        events = ", ".join(f"{name} {_format(each.value)}" for name, each in self.events.items())
        return f"of {self.theory} from {self.known_until:.3g} sequences: {events}"

    def columns(self) -> dict[str, Array]:
        """Return `sequences`, and of every curve the best fit and the interval's ends."""
        return {"sequences": self.sequences} | {
            f"{name}{suffix}": row
            for name, rows in self.curves.items()
            for suffix, row in zip(("", "_low", "_high"), rows, strict=True)
        }

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Draw curves with their bands, and events; see `coopetition.plot.fits`."""
        from coopetition.plot.fits import plot_forecast

        return plot_forecast(self, ax=ax)


def _format(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _format_row(name: str, each: Expected, remarks: Sequence[str] = ()) -> tuple[str, ...]:
    status = [each.status] if each.status != IDENTIFIABLE else []
    numbers = map(_format, (each.value, each.low, each.high))
    return name, *numbers, ", ".join([*status, *remarks])


def farthest_horizon(first: float, last: float) -> float:
    """Return the latest horizon of a forecast from curves from `first` to `last` sequences."""
    return first + FARTHEST * (last - first)


def check_horizon(horizon: float, first: float, last: float) -> None:
    """Raise `UsageError` unless a horizon lies after the known part, and not too far."""
    farthest = farthest_horizon(first, last)
    if not last <= horizon <= farthest:
        raise UsageError(
            f"horizon {horizon:g}; choose one from {last:g}, where the known part ends, to "
            f"{farthest:g}, {FARTHEST} times as far"
        )


def forecast(posterior: Posterior, horizon: float) -> Forecast:
    """Return the forecast of the fit of one run and its posterior, until `horizon` sequences.

    Raises
    ------
    UsageError : the fit is of several runs, or the horizon does not lie after the known part
    """
    fit = posterior.fit
    if len(fit.problem.runs) != 1:
        raise UsageError("a forecast is of one run; fit one")
    run = fit.problem.runs[0]
    known_until = float(run.sequences[-1])
    check_horizon(horizon, float(run.sequences[0]), known_until)
    sequences = np.linspace(run.sequences[0], horizon, N_SAMPLES)
    best = errors_at(fit.problem, fit.theta, fit.levels, sequences)
    sample = [
        errors_at(
            fit.problem, theta, {n: rows[k] for n, rows in posterior.levels.items()}, sequences
        )
        for k, theta in enumerate(posterior.thetas)
    ]
    sampled_events = [find_forecast_events(sequences, errors) for errors in sample]
    events = {
        name: _expect_event(value, [each[name] for each in sampled_events])
        for name, value in find_forecast_events(sequences, best).items()
    }
    curves = {}
    for name in fit.curves:
        rows = to_errors(np.array([errors[name] for errors in sample]), run.metric)
        low, high = np.nanquantile(rows, ENDS, axis=0)
        curves[name] = np.stack([to_errors(best[name], run.metric), low, high])
    final = {name: _expect_value(*map(float, rows[:, -1])) for name, rows in curves.items()}
    if not fit.converged:
        events, final = (
            {name: replace(each, status=NOT_CONVERGED) for name, each in group.items()}
            for group in (events, final)
        )
    return Forecast(
        fit.theory,
        run.metric,
        known_until,
        horizon,
        events,
        final,
        sequences,
        curves,
        fit.cautions,
        {"fit": fit.provenance, "draws": len(posterior.thetas)},
    )


def errors_at(
    problem: FitProblem, theta: Array, levels: Mapping[str, Sequence[float]], sequences: Array
) -> dict[str, Array]:
    """Return the errors of one run as they would be measured, and the preference.

    levels : floor and gain of its curves
    """
    outputs = problem.outputs(theta, [problem.time(0, sequences)])[0]
    rows: dict[str, Array] = dict(zip(OUTPUTS, outputs, strict=True))
    errors = {name: floor + gain * rows[name] for name, (floor, gain) in levels.items()}
    return errors | {"preference": rows["preference"]}


def _expect_event(value: float | None, sample: list[float | None]) -> Expected:
    times = np.array([math.inf if each is None else each for each in sample])
    low, high = map(float, np.quantile(times, ENDS, method="nearest"))
    if not low <= (math.inf if value is None else value) <= high:
        status = OUTSIDE
    elif math.isinf(low):
        status = NOT_BY_HORIZON
    else:
        status = NO_UPPER_BOUND if math.isinf(high) else IDENTIFIABLE
    low, high = (end if math.isfinite(end) else None for end in (low, high))
    return Expected(value, low, high, status)


def _expect_value(value: float, low: float, high: float) -> Expected:
    return Expected(value, low, high, IDENTIFIABLE if low <= value <= high else OUTSIDE)
