"""When ICL emerges, peaks and gives way in a training run."""

import math
from dataclasses import asdict, dataclass

import numpy as np

from coopetition.compare.curves import Curves
from coopetition.dynamics.events import crossing_time

EVALUATORS = ("flip", "icl", "ciwl")  # whose accuracies it is read off
TIMES = (
    "emergence",
    "flip_peak_at",
    "crossing",
    "fade",
    "flip_10",
    "ciwl_75",
    "ciwl_90",
    "icl_peak_at",
)


@dataclass(frozen=True, slots=True)
class Timeline:
    """The paper's time points, in sequences seen; None where they did not happen."""

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
        """Each field as text, with its unit."""
        texts = {}
        for name, value in asdict(self).items():
            if value is None:
                texts[name] = "not in this run"
            elif name in TIMES:
                texts[name] = f"{value:,.0f} sequences"
            else:
                texts[name] = f"{value:.3f}"
        return texts


RISEN = 0.55  # a smaller Flip peak is within the noise of 1,000 sequences about one half (3.2 s.d.)


def timeline(accuracies: Curves) -> Timeline:
    """Time points of a run's curves of in-context accuracy: flip, icl and ciwl."""
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
