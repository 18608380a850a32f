"""Figure 12: features of a frozen network in place of a trained encoder."""

from paper_figures.core.claims import Claim
from paper_figures.core.figure import Figure
from paper_figures.transience.panels import FLIP, ICL, IWL
from paper_figures.transience.rules import (
    judge_transient_at_every,
    judge_trend,
    peak,
)
from paper_figures.transience.sweep import Sweep

SWEEP = Sweep("features_{}", {n: f"{n:,} classes" for n in (1600, 12800)})

CLAIMS = (
    Claim(
        "ICL is transient on frozen features",
        lambda control, *found: judge_transient_at_every(found, control),
        needed=1,
        contradiction="with some number of classes, in half of the runs or more ICL never rises, "
        "or is kept",
    ),
    Claim(
        "on frozen features too, ICL's peak is higher with more classes",
        lambda control, *found: judge_trend(SWEEP.levels(found), peak),
        contradiction="the peak is lower with more classes",
    ),
)

FIGURE = Figure(
    __name__,
    "features of a frozen network",
    SWEEP.drawing((ICL, IWL, FLIP)),
    SWEEP.needs,
    CLAIMS,
)
