"""When ICL emerges, peaks and gives way in a training run."""

from dataclasses import dataclass

import numpy as np

from coopetition.compare.curves import Curves
from coopetition.events import crossing_time


@dataclass(frozen=True, slots=True)
class Timeline:
    """The paper's time points, in sequences seen; None where they did not happen."""

    emergence: float | None
    """Flip accuracy first rises through one half: ICL is preferred to CIWL."""
    flip_peak: float | None
    """Highest Flip accuracy."""
    flip_peak_at: float | None
    fade: float | None
    """Flip accuracy falls through one half after its peak."""
    ciwl_75: float | None
    """CIWL accuracy first rises through 0.75."""
    icl_peak: float | None
    """Highest ICL accuracy."""
    icl_peak_at: float | None
    icl_final: float | None
    flip_final: float | None


RISEN = 0.55  # a smaller Flip peak is within the noise of 1,000 sequences about one half (3.2 s.d.)


def timeline(accuracies: Curves) -> Timeline:
    """Time points of a run's curves of in-context accuracy: flip, icl and ciwl."""
    sequences = accuracies.sequences
    named = accuracies.select(("flip", "icl", "ciwl")).values
    flip, icl, ciwl = named["flip"], named["icl"], named["ciwl"]
    top, top_icl = int(np.argmax(flip)), int(np.argmax(icl))
    emergence = fade = None
    if flip[top] >= RISEN:
        # the last rise before the peak: earlier ones are noise about one half
        below = np.flatnonzero(flip[: top + 1] < 0.5)
        start = sequences[below[-1]] if len(below) else sequences[0]
        emergence = crossing_time(sequences, flip, 0.5, rising=True, after=float(start))
        fade = crossing_time(sequences, flip, 0.5, rising=False, after=float(sequences[top]))
    return Timeline(
        emergence,
        float(flip[top]),
        float(sequences[top]),
        fade,
        crossing_time(sequences, ciwl, 0.75, rising=True),
        float(icl[top_icl]),
        float(sequences[top_icl]),
        float(icl[-1]),
        float(flip[-1]),
    )
