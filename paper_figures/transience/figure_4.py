"""Figure 4: ICL is transient at every depth."""

from paper_figures.core.claims import Claim, Verdict
from paper_figures.core.figure import Figure
from paper_figures.transience.rules import all_runs, no_trend, peak, retention, transient
from paper_figures.transience.sweep import Sweep
from transformer.experiments.transience import DEPTHS

TOLERANCE = 0.1  # of accuracies and shares; chosen here


SWEEP = Sweep("depth_{}", {n: f"{n} layers" for n in DEPTHS})

CLAIMS = (
    Claim(
        "ICL is transient at every depth",
        lambda control, *found: transient(all_runs(*found), control),
        contradiction="in half of the runs or more ICL never rises, or is kept",
    ),
    Claim(
        "the height of ICL's peak has no trend with depth",
        lambda control, *found: no_trend(SWEEP.levels(found), peak, TOLERANCE),
        if_indecisive=Verdict.UNDECIDED,
        contradiction="it rises or falls significantly with depth, by more than 0.1",
    ),
    Claim(
        "ICL decays alike at every depth: the share that is left after the control's half-decay",
        lambda control, *found: no_trend(SWEEP.levels(found), retention(control), TOLERANCE),
        if_indecisive=Verdict.UNDECIDED,
        contradiction="the share rises or falls significantly with depth, by more than 0.1",
    ),
)

FIGURE = Figure(
    __name__,
    "depth",
    SWEEP.drawing(),
    SWEEP.needs,
    CLAIMS,
)
