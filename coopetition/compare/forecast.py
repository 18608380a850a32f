"""What a fitted theory says about what has not been measured yet, and how surely.

Events, in sequences, read off the curves as they would be measured (floor and gain included):

- `peak`: ICL errs least
- `crossing`: CIWL errs less than ICL, from the peak on
- `fade`: CIWL is preferred where the two disagree (`preference` below 0), from the peak on; in a
  run's timeline that is when Flip accuracy falls through one half

and `final` values of the curves at the horizon.  What is so at the peak already has the peak's
time.  Intervals are those of draws (`draws`): an event that some draws do not have by the horizon
has no upper end, and is `open above`.  What is expected is what the closest fit has; where that
lies outside of what 9 of 10 draws have, the status says so.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from coopetition.compare.identifiability import IDENTIFIABLE, OPEN_ABOVE
from coopetition.compare.least_squares import Problem, errors_of
from coopetition.compare.posterior import ENDS, Draws
from coopetition.compare.result import UNFINISHED
from coopetition.compare.theory import OUTPUTS
from coopetition.dynamics.events import crossing_time
from coopetition.model.presets import CIWL, ICL
from coopetition.tools.errors import UsageError
from coopetition.tools.files import html_table, write_json

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Array = NDArray[np.float64]

EVENTS = ("peak", "crossing", "fade")
MEANINGS = (
    "peak: ICL errs least; from there on, crossing: CIWL errs less than ICL, and fade: CIWL is "
    "preferred where the two disagree"
)
SAMPLES = 1000  # of a forecast curve
FARTHEST = 100  # times the length of what is known
NOT_BY_HORIZON = "not by the horizon"
OUTSIDE = "the closest fit lies outside"


@dataclass(frozen=True, slots=True)
class Expected:
    """A time or a value, and where 9 of 10 draws have it; None: not by the horizon."""

    value: float | None
    low: float | None
    high: float | None
    status: str


@dataclass(frozen=True, slots=True, eq=False)
class Forecast:
    """What a theory fitted to a run expects of it.

    metric : of the curves
    known_until, horizon : in sequences
    cautions : of the fit
    events : `EVENTS` by name, in sequences
    final : the curves at the horizon
    sequences : (n,) of the curves
    curves : name -> (3, n): the best fit, and where 9 of 10 draws lie
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
        """Plain values, without the curves."""
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
        """Write it, with its curves, as JSON."""
        curves = {name: rows.tolist() for name, rows in self.curves.items()}
        more = {"sequences": self.sequences.tolist(), "curves": curves}
        write_json(Path(path), self.to_dict() | more)

    def summary(self) -> str:
        """A table of text."""
        lines = [f"CAUTION: {'; '.join(self.cautions)}", ""] if self.cautions else []
        lines += [
            f"theory {self.theory}, known until {self.known_until:.4g} sequences",
            f"{'event':14}   expected        low       high   (9 of 10, in sequences)",
        ]
        for name, each in self.events.items():
            past = each.value is not None and each.value <= self.known_until
            already = each.value is not None and each.value == self.events["peak"].value
            seen = "   so at the peak already" * (already and name != "peak")
            seen += "   in the known part" * past
            lines.append(_line(name, each, seen))
        lines.append(MEANINGS)
        lines.append(f"at {self.horizon:.4g} sequences, {self.metric.replace('_', ' ')}")
        lines += [_line(name, each) for name, each in self.final.items()]
        return "\n".join(lines)

    def __repr__(self) -> str:
        told = ", ".join(f"{name} {_text(each.value)}" for name, each in self.events.items())
        return f"<Forecast of {self.theory} from {self.known_until:.3g} sequences: {told}>"

    def _repr_html_(self) -> str:
        rows = [
            (name, _text(each.value), f"{_text(each.low)} to {_text(each.high)}", each.status)
            for name, each in (self.events | self.final).items()
        ]
        return html_table([("", "expected", "9 of 10", ""), *rows])

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Curves with their bands, and events; see `coopetition.plot.fits`."""
        from coopetition.plot.fits import plot_forecast

        return plot_forecast(self, ax=ax)


def farthest_horizon(first: float, last: float) -> float:
    """The latest horizon, in sequences, of a forecast from curves known from `first` to `last`."""
    return first + FARTHEST * (last - first)


def check_horizon(horizon: float, first: float, last: float) -> None:
    """Raise `UsageError` unless a horizon lies after what is known, and not too far."""
    farthest = farthest_horizon(first, last)
    if not last <= horizon <= farthest:
        raise UsageError(
            f"horizon {horizon:g}; choose one from {last:g}, where the known part ends, to "
            f"{farthest:g}, {FARTHEST} times as far"
        )


def _text(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _line(name: str, each: Expected, seen: str = "") -> str:
    told = "" if each.status == IDENTIFIABLE else f"   {each.status}"
    told += seen
    return f"{name:14} {_text(each.value):>10} {_text(each.low):>10} {_text(each.high):>10}{told}"


def forecast(drawn: Draws, horizon: float) -> Forecast:
    """What the fit of one run, and draws about it, expect until `horizon` sequences.

    Raises
    ------
    UsageError : the fit is of several runs, or the horizon does not lie after their beginning
    """
    fit = drawn.fit
    if len(fit.problem.runs) != 1:
        raise UsageError("a forecast is of one run; fit one")
    run = fit.problem.runs[0]
    known_until = float(run.sequences[-1])
    check_horizon(horizon, float(run.sequences[0]), known_until)
    sequences = np.linspace(run.sequences[0], horizon, SAMPLES)
    best = errors_at(fit.problem, fit.place, fit.levels, sequences)
    every = [
        errors_at(fit.problem, place, {n: rows[k] for n, rows in drawn.levels.items()}, sequences)
        for k, place in enumerate(drawn.places)
    ]
    found = events(sequences, best)
    of_draws = [events(sequences, each) for each in every]
    unfinished = not fit.converged
    expected = {
        name: _expected(found[name], [each[name] for each in of_draws], unfinished)
        for name in found
    }
    curves = {}
    for name in fit.curves:
        rows = errors_of(np.array([each[name] for each in every]), run.metric)
        low, high = np.nanquantile(rows, ENDS, axis=0)
        curves[name] = np.stack([errors_of(best[name], run.metric), low, high])
    return Forecast(
        fit.theory,
        run.metric,
        known_until,
        horizon,
        expected,
        {name: _at_the_end(rows[:, -1], unfinished) for name, rows in curves.items()},
        sequences,
        curves,
        fit.cautions,
        {"fit": fit.provenance, "draws": len(drawn.places)},
    )


def errors_at(
    problem: Problem, place: Array, levels: Mapping[str, Sequence[float]], sequences: Array
) -> dict[str, Array]:
    """Errors of the one run as they would be measured, and the preference.

    levels : floor and gain of its curves
    """
    outputs = problem.outputs(place, [problem.time(0, sequences)])[0]
    rows: dict[str, Array] = dict(zip(OUTPUTS, outputs, strict=True))
    found = {name: floor + gain * rows[name] for name, (floor, gain) in levels.items()}
    return found | {"preference": rows["preference"]}


def events(sequences: Array, errors: Mapping[str, Array]) -> dict[str, float | None]:
    """`EVENTS` of curves of errors, and of the preference; those that the curves there are tell."""
    if ICL not in errors:
        return {}
    icl = np.where(np.isfinite(errors[ICL]), errors[ICL], np.inf)
    lowest = int(np.argmin(icl))
    if lowest == len(icl) - 1:
        return dict.fromkeys(EVENTS)
    found: dict[str, float | None] = {"peak": float(sequences[lowest])}
    if CIWL in errors:
        lead = errors[ICL] - errors[CIWL]
        found["crossing"] = _from(sequences[lowest:], lead[lowest:])
    if "preference" in errors:
        found["fade"] = _from(sequences[lowest:], -errors["preference"][lowest:])
    return found


def _from(sequences: Array, lead: Array) -> float | None:
    """When CIWL leads: at the first sample, or when it first comes to."""
    if lead[0] >= 0:
        return float(sequences[0])
    return crossing_time(sequences, lead, 0.0, rising=True)


def _expected(value: float | None, drawn: list[float | None], unfinished: bool) -> Expected:
    times = np.array([math.inf if each is None else each for each in drawn])
    low, high = np.quantile(times, ENDS, method="nearest")
    if unfinished:
        told = UNFINISHED
    elif not low <= (math.inf if value is None else value) <= high:
        told = OUTSIDE
    elif math.isinf(low):
        told = NOT_BY_HORIZON
    else:
        told = OPEN_ABOVE if math.isinf(high) else IDENTIFIABLE
    return Expected(
        value,
        float(low) if math.isfinite(low) else None,
        float(high) if math.isfinite(high) else None,
        told,
    )


def _at_the_end(values: Array, unfinished: bool) -> Expected:
    best, low, high = map(float, values)
    told = IDENTIFIABLE if low <= best <= high else OUTSIDE
    return Expected(best, low, high, UNFINISHED if unfinished else told)
