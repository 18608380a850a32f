"""Figure 5: more exemplars of a class raise ICL's peak."""

from paper_figures.core.claims import Claim, Verdict
from paper_figures.core.figure import Figure
from paper_figures.transience.rules import all_runs, peak, transient, trend
from paper_figures.transience.sweep import Sweep
from transformer.experiments.transience import EXEMPLARS

SWEEP = Sweep("exemplars_{}", {n: f"{n} exemplar{'s' * (n > 1)} of a class" for n in EXEMPLARS})

CLAIMS = (
    Claim(
        "ICL is transient whatever the number of exemplars",
        lambda control, *found: transient(all_runs(*found), control),
        contradiction="in half of the runs or more ICL never rises, or is kept",
    ),
    Claim(
        "ICL's peak is higher with more exemplars of a class",
        lambda control, *found: trend(SWEEP.levels(found), peak),
        if_indecisive=Verdict.UNDECIDED,
        contradiction="the peak is lower with more exemplars",
    ),
)

FIGURE = Figure(
    __name__,
    "exemplars of a class",
    SWEEP.drawing(),
    SWEEP.needs,
    CLAIMS,
)
