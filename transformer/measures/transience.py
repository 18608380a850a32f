"""Onset, peak and half-decay of in-context learning (ICL), with errors.

They are read off one accuracy of the ICL evaluator alone.  The errors follow from this model:

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

from coopetition.dynamics.events import crossing_time
from transformer.measures import Row, Run, measure

WINDOW = 5
SIGNIFICANCE = 4.0
LEAST_RISE = 0.05
CHANCE = {"in_context_accuracy": 0.5, "accuracy": 0.0}  # of the ICL evaluator, by metric
Fate = Literal["never rose", "stays", "faded"]
Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Transience:
    """Onset, peak and half-decay of an accuracy; times in the unit of the curve's times."""

    fate: Fate
    """`never rose`: no significant rise, so no onset and no half-decay; `faded`: it rose, fell to
    half and is below half at the end; `stays`: it rose, and is above half at the end."""
    onset: float | None
    """The smoothed accuracy rises through chance + (peak - chance) / 2, for the last time before
    its peak; the first window if it is above from there on."""
    onset_from: float | None
    """The end of the interval of one error; None where the curve begins inside it."""
    onset_to: float | None
    peak_at: float | None
    """Middle of the window with the largest smoothed accuracy; None if it never rose."""
    peak_from: float | None
    """First and last window about the peak with no lower accuracy between than peak - error; the
    last is None where the curve has not left this interval by the end."""
    peak_to: float | None
    peak: float
    """Largest smoothed accuracy."""
    peak_error: float
    half_decay: float | None
    """The smoothed accuracy falls through chance + (peak - chance) / 2 for the first time after
    its peak; it may rise above it again."""
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
    after = middle[top:], smoothed[top:]
    falls = [crossing_time(*after, each, rising=False) for each in reversed(levels)]
    if rises[1] is None:  # above the half-level from the first window on
        rises[1] = float(middle[0])
    first, last = _around(smoothed >= peak - error, top)
    fate: Fate = "faded" if final < half else "stays"
    if not rose:
        fate, rises, falls = "never rose", [None] * 3, [None] * 3
    return Transience(
        fate=fate,
        onset=rises[1],
        onset_from=rises[0],
        onset_to=rises[2],
        peak_at=float(middle[top]) if rose else None,
        peak_from=float(middle[first]) if rose else None,
        peak_to=float(middle[last]) if rose and last < len(middle) - 1 else None,
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


def _around(within: NDArray[np.bool_], at: int) -> tuple[int, int]:
    """Return the first and last index of the run of true values that holds `at`."""
    outside = np.flatnonzero(~within)
    before, after = outside[outside < at], outside[outside > at]
    first = int(before[-1]) + 1 if len(before) else 0
    return first, int(after[0]) - 1 if len(after) else len(within) - 1


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
