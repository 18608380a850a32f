"""Forecasts of a fitted theory: simulated continuations of a run, and the events in them.

Each path continues the measured curves to the horizon: the theory's curve of one posterior draw,
with noise of that draw's variance and correlation that starts from the curve's last residual.
Events, in sequences, are read off the measured and the simulated samples together, as they would be
measured:

- `peak`: ICL's error is lowest
- `crossing`: from the peak on, CIWL's error is lower than ICL's
- `fade`: from the peak on, CIWL is preferred where the two disagree (`preference` below 0; where
  Flip was measured, its accuracy is below one half)

A crossing or fade that is there at the peak already has the peak's time.  So nothing that has not
been measured is forecast for the known part.  Where Flip was measured it is the preference of the
known part; draws are left out whose preference contradicts it at the end of that part.  The
preference that follows has no noise.  In a fit that includes Flip (of a `readout`), it is simulated
like the other curves, with noise, and no draws are left out.

Noise between samples at other distances than those of the known part keeps its correlation in
time: rho ** (distance / the curve's median distance).
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from numbers import Real
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from coopetition.dynamics.events import find_forecast_events
from coopetition.fitting.curves import FLIP, Curves
from coopetition.fitting.observation import ACCURACY, to_errors
from coopetition.fitting.posterior import Posterior
from coopetition.fitting.result import ENDS, MAX_REACH
from coopetition.fitting.theory import OUTPUTS, PREFERENCE
from coopetition.model.presets import ICL
from coopetition.tools.checks import check_int, check_real_array
from coopetition.tools.errors import UsageError, check_type
from coopetition.tools.files import text_table, wrap_text
from coopetition.tools.results import JsonResult, trust_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Array = NDArray[np.float64]

MEANINGS = (
    "peak: ICL's error is lowest; from then on, crossing: CIWL's error is lower than ICL's, and "
    "fade: CIWL is preferred where the two disagree"
)
HALF = 0.5  # Flip accuracy at which neither strategy is preferred
UNDECIDED = 0.05  # Flip closer to one half than this is noise (1,000 sequences: 3 s.d.)
N_PATHS = 1000  # at least
N_FUTURE = 500  # simulated samples of a curve, at most, unless they are given
FEW = 0.05  # share of the draws that agree with Flip, below which the forecast has a caution


@dataclass(frozen=True, slots=True)
class Expected:
    """The median of a time or a value over all paths, and the interval of 90 % of them.

    A time that is None is not by the horizon.

    probability : share of the paths in which an event happens by the horizon; 1 for a value
    """

    value: float | None
    low: float | None
    high: float | None
    probability: float = 1.0


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Forecast(JsonResult):
    """The forecast of a theory fitted to a run.

    metric : of the curves
    known_until, horizon : in sequences
    times : (paths,) sequences at which peak, crossing and fade happen; infinity: not by the
        horizon
    sequences : (n,) of the curves
    curves : name -> (3, n): median and ends of 90 % of the paths; in the known part, as measured
    cautions : of the fit, of its posterior, and of the forecast
    """

    kind: ClassVar[str] = "a saved forecast"
    theory: str
    metric: str
    known_until: float
    horizon: float
    times: dict[str, Array]
    sequences: Array
    curves: dict[str, Array]
    cautions: list[str]
    provenance: dict[str, Any]

    @property
    def events(self) -> dict[str, Expected]:
        """Times of the events, by name."""
        return {name: _expect_time(times) for name, times in self.times.items()}

    @property
    def final(self) -> dict[str, Expected]:
        """Values of the curves at the horizon, by name."""
        return {name: Expected(*map(float, rows[:, -1])) for name, rows in self.curves.items()}

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, without paths and curves."""
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

    def to_saved(self) -> dict[str, Any]:
        """Return plain values, with the times of all paths and the curves."""
        more = {"times": self.times, "sequences": self.sequences, "curves": self.curves}
        return self.to_dict() | more

    @classmethod
    def from_saved(cls, saved: dict[str, Any]) -> Self:
        """See `JsonResult`."""
        times = {name: np.array(each, float) for name, each in saved["times"].items()}
        return cls(
            saved["theory"],
            saved["metric"],
            saved["known_until"],
            saved["horizon"],
            # JSON has null in place of infinity
            {name: np.where(np.isnan(each), np.inf, each) for name, each in times.items()},
            np.array(saved["sequences"], float),
            {name: np.array(rows, float) for name, rows in saved["curves"].items()},
            saved["cautions"],
            saved["provenance"],
        )

    def summary(self) -> str:
        """Return whether the forecast can be trusted, and tables of events and final values."""
        head = ("median", "low", "high", "(90 % interval)")
        events: list[tuple[str, ...]] = [("event in sequences", *head[:3], "probability", "")]
        final: list[tuple[str, ...]] = [(self.metric.replace("_", " "), *head)]
        expected = self.events
        for name, each in expected.items():
            remarks = []
            if each.value is not None:
                if name != "peak" and each.value == expected["peak"].value:
                    remarks.append("at the peak already")
                if each.value <= self.known_until:
                    remarks.append("median in the known part")
            row = *_format_row(name, each), f"{each.probability:.2f}", ", ".join(remarks)
            events.append(row)
        final += [(*_format_row(name, each), "") for name, each in self.final.items()]
        return "\n".join(
            [
                trust_line(self.cautions, "The fit and its posterior have no known problem."),
                "",
                f"theory {self.theory}, known until {self.known_until:.4g} sequences, "
                f"{self.provenance['n_paths']} simulated paths",
                text_table(events),
                wrap_text(MEANINGS),
                "low and high: 90 % interval; probability: that it happens by "
                f"{self.horizon:.4g} sequences",
                f"at {self.horizon:.4g} sequences",
                text_table(final),
            ]
        )

    def headline(self) -> str:
        """Return the theory, the known part, and the median times of events."""
        events = ", ".join(f"{name} {_format(each.value)}" for name, each in self.events.items())
        return f"of {self.theory} from {self.known_until:.3g} sequences: {events}"

    def columns(self) -> dict[str, Array]:
        """Return `sequences`, and of every curve the median and the interval's ends."""
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


def _format_row(name: str, each: Expected) -> tuple[str, ...]:
    return name, *map(_format, (each.value, each.low, each.high))


def _expect_time(times: Array) -> Expected:
    low, value, high = (
        float(time) if math.isfinite(time) else None
        for time in np.quantile(times, (ENDS[0], 0.5, ENDS[1]), method="inverted_cdf")
    )
    return Expected(value, low, high, float(np.isfinite(times).mean()))


def farthest_horizon(first: float, last: float) -> float:
    """Return the latest horizon of a forecast from curves from `first` to `last` sequences."""
    return first + MAX_REACH * (last - first)


def check_horizon(horizon: float, first: float, last: float) -> None:
    """Raise `UsageError` unless a horizon lies after the known part, and not too far."""
    farthest = farthest_horizon(first, last)
    if not last < horizon <= farthest:
        where = "too far" if horizon > farthest else "not after the known part"
        raise UsageError(
            f"horizon {horizon:g} is {where}: the curves are known from {first:g} to {last:g} "
            f"sequences; choose one above {last:g}, up to {farthest:g}, or another known part"
        )


def forecast(
    posterior: Posterior,
    horizon: float,
    *,
    measured: Curves | None = None,
    future: Sequence[float] | Array | None = None,
    seed: int = 0,
) -> Forecast:
    """Return the forecast of the fit of one run and its posterior, until `horizon` sequences.

    Every posterior draw makes a path; with fewer than 1,000 draws, each makes several.

    Parameters
    ----------
    measured : curves of the known part; used if they are accuracies that include `flip`, unless
        the fit does
    future : sequences at which curves will be measured, to the horizon; default: at the last
        distance of the known part, or at a multiple of it, at most 500 samples

    Raises
    ------
    UsageError : the fit is of several runs, the horizon does not lie after the known part, or the
        theory cannot be computed until then
    """
    check_type(posterior, Posterior, "a Posterior, as `sample_posterior(fit)` returns it")
    fit, rng = posterior.fit, np.random.default_rng(check_int("seed", seed, 0))
    if len(fit.problem.runs) != 1:
        raise UsageError("a forecast is of one run; fit one")
    if measured is not None:
        check_type(measured, Curves, "measured Curves")
    run = fit.problem.runs[0]
    first, known_until = map(float, run.sequences[[0, -1]])
    check_type(horizon, Real, "the horizon, a number of sequences")
    check_horizon(horizon, first, known_until)
    later = _future_samples(run.sequences, horizon, future)
    sequences = np.concatenate([run.sequences, later])
    outputs = _outputs(posterior, sequences)
    knows_flip = FLIP in run.values  # the fit; then draws agree with it already
    seen = run if knows_flip else measured
    flip = None if seen is None else _flip(seen, run.sequences)
    accepted, cautions = _accept(outputs, len(run.sequences) - 1, None if knows_flip else flip)
    draws = np.resize(accepted, max(N_PATHS, len(accepted)))
    paths = {
        name: _continue(posterior, name, draws, outputs[draws, row], later, rng)
        for name, (_, row) in fit.problem.where.items()
    }
    preference = outputs[draws, OUTPUTS.index(PREFERENCE)]
    if knows_flip:
        preference = HALF - paths[FLIP]
    if flip is not None:
        preference[:, : len(flip)] = flip - HALF
    found = [
        find_forecast_events(sequences, dict(zip(paths, rows, strict=True)) | {PREFERENCE: lead})
        for *rows, lead in zip(*paths.values(), preference, strict=True)
    ]
    times = {
        name: np.array([np.inf if each[name] is None else each[name] for each in found])
        for name in found[0]
    }
    cautions += _caution_about_peak(posterior, draws, outputs, times)
    curves = {name: _band(errors, run.metric) for name, errors in paths.items()}
    return Forecast(
        fit.theory,
        run.metric,
        known_until,
        float(horizon),
        times,
        sequences,
        curves,
        [*posterior.cautions, *cautions, *fit.cautions],
        {
            "fit": fit.provenance,
            "seed": seed,
            "n_paths": len(draws),
            "n_draws": len(outputs),
            "n_accepted": len(accepted),
        },
    )


def _future_samples(known: Array, horizon: float, future: Any) -> Array:
    """Return the sequences at which curves are measured after the known part, the horizon last."""
    last = known[-1]
    if future is None:
        distance = known[-1] - known[-2]
        n = math.ceil((horizon - last) / distance)
        distance *= math.ceil(n / N_FUTURE)
        given = last + distance * np.arange(1, math.ceil((horizon - last) / distance))
    else:
        given = np.unique(check_real_array("future", future))
    return np.append(given[(given > last) & (given < horizon)], horizon)


def _outputs(posterior: Posterior, sequences: Array) -> Array:
    """Return the theory's outputs (draws, curves, n)."""
    problem = posterior.fit.problem
    times = [problem.time(0, sequences)]
    return np.stack([problem.outputs(theta, times)[0] for theta in posterior.thetas])


def _flip(measured: Curves, sequences: Array) -> Array | None:
    """Return measured Flip accuracy at samples; None if it was not measured."""
    if FLIP not in measured.values or ACCURACY not in measured.metric:
        return None
    known = np.isfinite(measured.values[FLIP])
    if not known.any():
        return None
    return np.interp(sequences, measured.sequences[known], measured.values[FLIP][known])


def _accept(outputs: Array, end: int, flip: Array | None) -> tuple[NDArray[np.intp], list[str]]:
    """Return the draws that agree with Flip at the sample `end`, and cautions."""
    finite = np.isfinite(outputs).all((1, 2))
    if not finite.any():
        raise UsageError("the theory cannot be computed until the horizon; choose an earlier one")
    lead = 0.0 if flip is None else float(flip[end]) - HALF
    if abs(lead) < UNDECIDED:
        return np.flatnonzero(finite), []
    agrees = finite & (np.sign(outputs[:, OUTPUTS.index(PREFERENCE), end]) == np.sign(lead))
    prefers = "ICL" if lead > 0 else "CIWL"
    if not agrees.any():
        caution = f"Flip shows that {prefers} is preferred, which no posterior draw does"
        return np.flatnonzero(finite), [f"{caution}: the forecast of the fade is not conditioned"]
    if agrees.sum() < FEW * finite.sum():
        share = f"{agrees.sum()} of {finite.sum()}"
        return np.flatnonzero(agrees), [f"only {share} draws prefer {prefers}, as Flip shows"]
    return np.flatnonzero(agrees), []


def _caution_about_peak(
    posterior: Posterior, draws: NDArray[np.intp], outputs: Array, times: dict[str, Array]
) -> list[str]:
    """Return a caution if the theory's ICL error falls less than its noise after the known part."""
    problem = posterior.fit.problem
    if "peak" not in times or not np.median(times["peak"]) > problem.runs[0].sequences[-1]:
        return []
    error = outputs[draws, problem.where[ICL][1], len(problem.runs[0].sequences) - 1 :]
    fall = posterior.levels[ICL][draws, 1] * (error[:, 0] - error.min(1))
    if np.median(fall / posterior.noise[ICL][draws, 0]) >= 1:
        return []
    return [
        "the forecast of icl improves by less than its noise after the known part: noise alone "
        "decides when the peak comes"
    ]


def _continue(
    posterior: Posterior,
    name: str,
    draws: NDArray[np.intp],
    outputs: Array,
    later: Array,
    rng: np.random.Generator,
) -> Array:
    """Return paths (draws, n) of one curve's error: measured, then simulated; NaN: not measured.

    outputs : (draws, n) the theory's error
    """
    problem = posterior.fit.problem
    run, known = problem.runs[0], problem.known[name]
    floor, gain = posterior.levels[name][draws].T
    sigma, rho = posterior.noise[name][draws].T
    expected = floor[:, None] + gain[:, None] * outputs
    end = int(np.flatnonzero(known)[-1])
    own = run.sequences[known]
    distances = np.diff(later, prepend=own[-1]) / np.median(np.diff(own))
    noise = (problem.errors[name][-1] - expected[:, end]) / (sigma * problem.units[name][-1])
    paths = np.empty_like(expected)
    paths[:, : len(known)] = np.nan
    paths[:, np.flatnonzero(known)] = problem.errors[name]
    for k, distance in enumerate(distances, len(known)):
        correlation = rho**distance
        fresh = rng.standard_normal(len(draws))
        noise = correlation * noise + np.sqrt(1 - correlation**2) * fresh
        paths[:, k] = expected[:, k] + sigma * noise
    highest = 1.0 if ACCURACY in run.metric else np.inf
    paths[:, len(known) :] = np.clip(paths[:, len(known) :], 0.0, highest)
    return paths


def _band(errors: Array, metric: str) -> Array:
    """Return median, low and high (3, n) of measured values."""
    return np.quantile(to_errors(errors, metric), (0.5, *ENDS), axis=0)
