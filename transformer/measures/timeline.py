"""When ICL emerges, peaks and gives way in a training run."""

from dataclasses import asdict, dataclass

import numpy as np

from coopetition.compare.curves import Curves
from coopetition.solve.outcomes import crossing_time

TIMES = ("emergence", "flip_peak_at", "fade", "ciwl_75", "icl_peak_at")


@dataclass(frozen=True, slots=True)
class Timeline:
    """The paper's time points, in sequences seen; None where they did not happen."""

    emergence: float | None
    """Flip accuracy rises through one half for the last time before its peak: ICL is preferred."""
    flip_peak: float
    """Highest Flip accuracy."""
    flip_peak_at: float
    fade: float | None
    """Flip accuracy falls through one half after its peak."""
    ciwl_75: float | None
    """CIWL accuracy first rises through 0.75."""
    icl_peak: float
    """Highest ICL accuracy."""
    icl_peak_at: float
    icl_final: float
    flip_final: float

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
    named = accuracies.select(("flip", "icl", "ciwl")).values
    flip, icl, ciwl = named["flip"], named["icl"], named["ciwl"]
    top, top_icl = int(np.argmax(flip)), int(np.argmax(icl))
    emergence = fade = None
    if flip[top] >= RISEN:
        # earlier rises are noise about one half
        below = np.flatnonzero(flip[:top] < 0.5)
        before = slice(below[-1] if len(below) else 0, top + 1)
        emergence = crossing_time(sequences[before], flip[before], 0.5, rising=True)
        if emergence is None:  # above one half from the first sample on
            emergence = float(sequences[0])
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
