"""Figure 5: more exemplars of a class raise ICL's peak."""

from paper_figures.core.claims import Claim
from paper_figures.core.figure import Figure
from paper_figures.transience.rules import (
    judge_transient_at_every,
    judge_trend,
    peak,
    retention,
)
from paper_figures.transience.sweep import Sweep
from transformer.experiments.transience import EXEMPLARS

SWEEP = Sweep("exemplars_{}", {n: f"{n} exemplar{'s' * (n > 1)} of a class" for n in EXEMPLARS})

CLAIMS = (
    Claim(
        "ICL is transient whatever the number of exemplars",
        lambda control, *found: judge_transient_at_every(found, control),
        needed=1,
        contradiction="with some number, in half of the runs or more ICL never rises, or is kept",
        explanation="with one exemplar of a class ICL never rises: the weights soon answer also "
        "without the label in context",
    ),
    Claim(
        "ICL's peak is higher with more exemplars of a class",
        lambda control, *found: judge_trend(SWEEP.levels(found), peak),
        contradiction="the peak is lower with more exemplars",
    ),
    Claim(
        "ICL decays faster with more exemplars of a class: the share that is left after the "
        "control's half-decay",
        lambda control, *found: judge_trend(SWEEP.levels(found), retention(control), rises=False),
        contradiction="the share rises with the number of exemplars",
    ),
)

FIGURE = Figure(
    __name__,
    "exemplars of a class",
    SWEEP.drawing(),
    SWEEP.needs,
    CLAIMS,
)
