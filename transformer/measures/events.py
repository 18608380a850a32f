"""When in-context learning (ICL) emerges, peaks and gives way in a training run.

`timeline` reads the coopetition paper's time points off three accuracies: they ask when ICL is
preferred to in-weights answers (Flip accuracy).  `transience` reads onset, peak and half-decay off
one accuracy of the ICL evaluator alone, with errors.

Error model of `transience`
---------------------------
- Smoothing: the mean of `WINDOW` consecutive evaluations, at the middle one.  Events lie between
  the first and the last full window.
- Error: that of a binomial share, sqrt(p (1 - p) / n) with p = (k + 1) / (n + 2), where k of n
  sequences are right.  Smoothing does not reduce it: every evaluation uses the same n sequences,
  so that errors of neighbouring evaluations may be fully correlated.  With independent errors it is
  conservative, by a factor of sqrt(`WINDOW`).
- A rise counts if the peak is at least `SIGNIFICANCE` errors (of chance) and `LEAST_RISE` above
  chance.  Pure noise about chance then has an onset with probability below 1e-4 per independent
  window.  `LEAST_RISE` matters where chance is 0, and so is its error.
- Intervals: the half-level is off by at most one error of the difference between the curve and
  (peak + chance) / 2.  Each interval holds the times at which the curve crosses the half-level
  shifted by that error, down and up.
- The peak is the largest of many noisy values, which overestimates it by up to two errors.
"""

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from coopetition.compare.curves import Curves
from coopetition.dynamics.events import crossing_time
from transformer.measures import Row, Run, measure

EVALUATORS = ("flip", "icl", "ciwl")  # whose accuracies a timeline is read off
ACCURACIES = ("flip_peak", "icl_peak", "icl_final", "flip_final")  # the other fields are times
RISEN = 0.55  # a smaller Flip peak is within the noise of 1,000 sequences about one half (3.2 s.d.)
WINDOW = 5
SIGNIFICANCE = 4.0
LEAST_RISE = 0.05
CHANCE = {"in_context_accuracy": 0.5, "accuracy": 0.0}  # of the ICL evaluator, by metric
Status = Literal["never rose", "horizon too short", "decayed"]
Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Timeline:
    """The coopetition paper's time points, in sequences seen; None where they did not happen."""

    emergence: float | None
    """Flip accuracy rises through one half for the last time before its peak: ICL is preferred."""
    flip_peak: float
    """Highest Flip accuracy."""
    flip_peak_at: float
    fade: float | None
    """Flip accuracy falls through one half after its peak: CIWL is preferred."""
    ciwl_75: float | None
    """CIWL accuracy first rises through 0.75."""
    icl_peak: float
    """Highest ICL accuracy."""
    icl_peak_at: float
    icl_final: float
    flip_final: float
    crossing: float | None
    """CIWL accuracy rises above ICL accuracy after ICL was preferred (from Flip's peak on)."""
    flip_10: float | None
    """Flip accuracy falls through 0.1, after its peak if ICL was ever preferred."""
    ciwl_90: float | None
    """CIWL accuracy first rises through 0.9."""

    def describe(self) -> dict[str, str]:
        """Return each field as text, with its unit."""
        texts = {}
        for name, value in asdict(self).items():
            if value is None:
                texts[name] = "not in this run"
            elif name in ACCURACIES:
                texts[name] = f"{value:.3f}"
            else:
                texts[name] = f"{value:,.0f} sequences"
        return texts


def timeline(accuracies: Curves) -> Timeline:
    """Return the time points of curves of in-context accuracy: flip, icl and ciwl."""
    sequences = accuracies.sequences
    named = accuracies.select(EVALUATORS).values
    flip, icl, ciwl = (named[name] for name in EVALUATORS)
    top, top_icl = int(np.argmax(flip)), int(np.argmax(icl))
    emergence = fade = crossing = None
    peak_at, preferred_from = float(sequences[top]), -math.inf
    if flip[top] >= RISEN:
        preferred_from = peak_at
        # earlier rises are noise about one half
        below = np.flatnonzero(flip[:top] < 0.5)
        before = slice(below[-1] if len(below) else 0, top + 1)
        emergence = crossing_time(sequences[before], flip[before], 0.5, rising=True)
        if emergence is None:  # above one half from the first sample on
            emergence = float(sequences[0])
        fade = crossing_time(sequences, flip, 0.5, rising=False, after=peak_at)
        crossing = crossing_time(sequences, ciwl - icl, 0.0, rising=True, after=peak_at)
    return Timeline(
        emergence=emergence,
        flip_peak=float(flip[top]),
        flip_peak_at=peak_at,
        fade=fade,
        ciwl_75=crossing_time(sequences, ciwl, 0.75, rising=True),
        icl_peak=float(icl[top_icl]),
        icl_peak_at=float(sequences[top_icl]),
        icl_final=float(icl[-1]),
        flip_final=float(flip[-1]),
        crossing=crossing,
        flip_10=crossing_time(sequences, flip, 0.1, rising=False, after=preferred_from),
        ciwl_90=crossing_time(sequences, ciwl, 0.9, rising=True),
    )


@dataclass(frozen=True, slots=True)
class Transience:
    """Onset, peak and half-decay of an accuracy; times in the unit of the curve's times."""

    status: Status
    """`never rose`: no significant rise, so no onset and no half-decay; `horizon too short`: it
    rose and stays above the half-level up to the end; `decayed`: it rose and fell to half."""
    onset: float | None
    """The smoothed accuracy rises through chance + (peak - chance) / 2, for the last time before
    its peak; the first window if it is above from there on."""
    onset_from: float | None
    """The end of the interval of one error; None where the curve begins inside it."""
    onset_to: float | None
    peak_at: float | None
    """Middle of the window with the largest smoothed accuracy; None if it never rose."""
    peak_from: float | None
    """First and last window about the peak with no lower accuracy between than peak - error."""
    peak_to: float | None
    peak: float
    """Largest smoothed accuracy."""
    peak_error: float
    half_decay: float | None
    """The smoothed accuracy falls through chance + (peak - chance) / 2 for the first time after
    its peak."""
    half_decay_from: float | None
    half_decay_to: float | None
    """None where the curve has not left the interval by the end."""
    final: float
    """Smoothed accuracy of the last window."""
    final_error: float
    horizon: float
    """The last time of the curve."""


def binomial_error(accuracy: float, n_sequences: int) -> float:
    """Return the standard deviation of a share of `n_sequences`; positive at 0 and 1 too."""
    p = (accuracy * n_sequences + 1) / (n_sequences + 2)
    return math.sqrt(p * (1 - p) / n_sequences)


def smooth(values: Array) -> Array:
    """Return the mean of each `WINDOW` consecutive values (n - WINDOW + 1,)."""
    return np.lib.stride_tricks.sliding_window_view(values, WINDOW).mean(1)


def transience(
    times: ArrayLike, accuracy: ArrayLike, n_sequences: int, chance: float
) -> Transience:
    """Return the events of a curve of accuracies, each of `n_sequences` sequences.

    Parameters
    ----------
    times : (n,) rising, such as sequences seen; accuracy : (n,); n is at least `WINDOW`
    chance : accuracy without ICL
    """
    times, accuracy = np.asarray(times, float), np.asarray(accuracy, float)
    if len(times) < WINDOW:
        raise ValueError(f"{len(times)} evaluations; choose at least {WINDOW}")
    smoothed = smooth(accuracy)
    middle = times[WINDOW // 2 : len(times) - WINDOW // 2]
    top = int(np.argmax(smoothed))
    peak, final = float(smoothed[top]), float(smoothed[-1])
    error = binomial_error(peak, n_sequences)
    half = (peak + chance) / 2
    rose = peak - chance >= max(SIGNIFICANCE * binomial_error(chance, n_sequences), LEAST_RISE)
    # the half-level moves by half the peak's error
    spread = math.hypot(binomial_error(half, n_sequences), error / 2)
    levels = (half - spread, half, half + spread)
    rises = [_last_rise(middle[: top + 1], smoothed[: top + 1], each) for each in levels]
    falls = [_first_fall(middle[top:], smoothed[top:], each) for each in reversed(levels)]
    if rises[1] is None:  # above the half-level from the first window on
        rises[1] = float(middle[0])
    first, last = _around(smoothed >= peak - error, top)
    status: Status = "never rose"
    if rose:
        status = "horizon too short" if falls[1] is None else "decayed"
    else:
        rises, falls = [None] * 3, [None] * 3
    return Transience(
        status=status,
        onset=rises[1],
        onset_from=rises[0],
        onset_to=rises[2],
        peak_at=float(middle[top]) if rose else None,
        peak_from=float(middle[first]) if rose else None,
        peak_to=float(middle[last]) if rose else None,
        peak=peak,
        peak_error=error,
        half_decay=falls[1],
        half_decay_from=falls[0],
        half_decay_to=falls[2],
        final=final,
        final_error=binomial_error(final, n_sequences),
        horizon=float(times[-1]),
    )


def _last_rise(times: Array, values: Array, level: float) -> float | None:
    """Return the last time at which a curve rises through a level, before its end."""
    mirrored = crossing_time(-times[::-1], values[::-1], level, rising=False)
    return None if mirrored is None else -mirrored


def _first_fall(times: Array, values: Array, level: float) -> float | None:
    return crossing_time(times, values, level, rising=False)


def _around(within: NDArray[np.bool_], at: int) -> tuple[int, int]:
    """Return the first and last index of the run of true values that holds `at`."""
    outside = np.flatnonzero(~within)
    before, after = outside[outside < at], outside[outside > at]
    first = int(before[-1]) + 1 if len(before) else 0
    return first, int(after[0]) - 1 if len(after) else len(within) - 1


@measure("events", per="run")
def events_of_run(run: Run) -> Iterator[Row]:
    """Emergence, peak and fade of ICL; no row for a run that lacks one of the evaluators."""
    curves = run.curves()
    if {*EVALUATORS} <= {*curves.values}:
        yield asdict(timeline(curves))


@measure("transience", per="run")
def transience_of_run(run: Run) -> Iterator[Row]:
    """Onset, peak and half-decay of ICL, in sequences seen.

    One row for the accuracy among the labels in context (`in_context_accuracy`, chance 0.5) and one
    for the accuracy over all labels (`accuracy`, chance 0).  A run without the evaluator `icl`, or
    with fewer evaluations than a smoothing window, has no row.
    """
    for metric, chance in CHANCE.items():
        curves = run.curves(metric)
        if "icl" in curves.values and len(curves.sequences) >= WINDOW:
            n_sequences = run.config.evaluation.n_sequences
            found = transience(curves.sequences, curves.values["icl"], n_sequences, chance)
            yield {"metric": metric, "n_sequences": n_sequences} | asdict(found)
