"""Figure 12: features of a frozen network in place of a trained encoder."""

from paper_figures.core.claims import Claim, Verdict
from paper_figures.core.figure import Figure
from paper_figures.transience.panels import FLIP, ICL, IWL
from paper_figures.transience.rules import all_runs, peak, transient, trend
from paper_figures.transience.sweep import Sweep

SWEEP = Sweep("features_{}", {n: f"{n:,} classes" for n in (1600, 12800)})

CLAIMS = (
    Claim(
        "ICL is transient on frozen features",
        lambda control, *found: transient(all_runs(*found), control),
        contradiction="in half of the runs or more ICL never rises, or is above half its peak "
        "after three half-decays of the default run",
    ),
    Claim(
        "on frozen features too, ICL's peak is higher with more classes",
        lambda control, *found: trend(SWEEP.levels(found), peak),
        if_indecisive=Verdict.UNDECIDED,
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
