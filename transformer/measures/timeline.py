"""The time points of the coopetition paper: when in-context learning (ICL) emerges and fades.

They are read off three accuracies, and ask when ICL is preferred to in-weights answers (Flip).
"""

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import numpy as np

from coopetition.dynamics.events import RISEN, crossing_time, find_emergence
from coopetition.fitting.curves import Curves
from transformer.measures import Row, Run, measure

TIMELINE_EVALUATORS = ("flip", "icl", "ciwl")  # whose accuracies a timeline is read off
ACCURACIES = ("flip_peak", "icl_peak", "icl_final", "flip_final")  # the other fields are times


@dataclass(frozen=True, slots=True)
class Timeline:
    """The coopetition paper's time points, in sequences seen; None where they did not happen."""

    emergence: float | None
    """Flip accuracy rises through one half for the last time before its peak: ICL is preferred."""
    flip_peak: float
    """Highest Flip accuracy."""
    flip_peak_at: float | None
    fade: float | None
    """CIWL becomes preferred: Flip accuracy falls through one half after its peak."""
    ciwl_75: float | None
    """CIWL accuracy first rises through 0.75."""
    icl_peak: float
    """Highest ICL accuracy."""
    icl_peak_at: float | None
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
            if value is None and name.endswith("peak_at"):
                texts[name] = f"not in this run: the peak is below {RISEN}"
            elif value is None:
                texts[name] = "not in this run"
            elif name in ACCURACIES:
                texts[name] = f"{value:.3f}"
            else:
                texts[name] = f"{value:,.0f} sequences"
        return texts


def timeline(accuracies: Curves) -> Timeline:
    """Return the time points of curves of in-context accuracy: flip, icl and ciwl."""
    sequences = accuracies.sequences
    named = accuracies.select(TIMELINE_EVALUATORS).values
    flip, icl, ciwl = (named[name] for name in TIMELINE_EVALUATORS)
    top, top_icl = int(np.argmax(flip)), int(np.argmax(icl))
    emergence = find_emergence(sequences, flip)
    fade = crossing = peak_at = None
    if emergence is not None:
        peak_at = float(sequences[top])
        fade = crossing_time(sequences, flip, 0.5, rising=False, after=peak_at)
        crossing = crossing_time(sequences, ciwl - icl, 0.0, rising=True, after=peak_at)
    return Timeline(
        emergence=emergence,
        flip_peak=float(flip[top]),
        flip_peak_at=peak_at,
        fade=fade,
        ciwl_75=crossing_time(sequences, ciwl, 0.75, rising=True),
        icl_peak=float(icl[top_icl]),
        icl_peak_at=float(sequences[top_icl]) if icl[top_icl] >= RISEN else None,
        icl_final=float(icl[-1]),
        flip_final=float(flip[-1]),
        crossing=crossing,
        flip_10=crossing_time(
            sequences, flip, 0.1, rising=False, after=-math.inf if peak_at is None else peak_at
        ),
        ciwl_90=crossing_time(sequences, ciwl, 0.9, rising=True),
    )


@measure("events", per="run")
def events_of_run(run: Run) -> Iterator[Row]:
    """Emergence, peak and fade of ICL; no row for a run that lacks one of the evaluators."""
    curves = run.curves()
    if {*TIMELINE_EVALUATORS} <= {*curves.values}:
        yield asdict(timeline(curves))
