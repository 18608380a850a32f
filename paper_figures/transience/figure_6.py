"""Figure 6: more classes raise ICL's peak and slow its decay."""

from paper_figures.core.claims import Claim
from paper_figures.core.figure import Figure
from paper_figures.transience.rules import (
    judge_transient_at_every,
    judge_trend,
    peak,
    retention,
)
from paper_figures.transience.sweep import Sweep
from transformer.experiments.transience import CLASSES

SWEEP = Sweep("classes_{}", {n: f"{n:,} classes" for n in CLASSES})

CLAIMS = (
    Claim(
        "ICL is transient with all numbers of classes",
        lambda control, *found: judge_transient_at_every(found, control),
        needed=1,
        contradiction="with some number, in half of the runs or more ICL never rises, or is kept",
    ),
    Claim(
        "ICL's peak is higher with more classes",
        lambda control, *found: judge_trend(SWEEP.levels(found), peak),
        contradiction="the peak is lower with more classes",
    ),
    Claim(
        "ICL decays more slowly with more classes: the share that is left after the control's "
        "half-decay",
        lambda control, *found: judge_trend(SWEEP.levels(found), retention(control)),
        contradiction="the share falls with the number of classes",
    ),
)

FIGURE = Figure(
    __name__,
    "numbers of classes",
    SWEEP.drawing(),
    SWEEP.needs,
    CLAIMS,
)
