"""Figure 8: L2 regularisation keeps ICL."""

from paper_figures.core.claims import Claim
from paper_figures.core.figure import Figure
from paper_figures.transience.rules import judge_kept, judge_trend, retention
from paper_figures.transience.sweep import Sweep
from transformer.experiments.transience import L2

THRESHOLD = 1e-4  # the paper's: with more, the model is regularised too strongly


SWEEP = Sweep("l2_{:g}", {c: f"L2 {c:g}" for c in L2 if c <= THRESHOLD})

CLAIMS = (
    Claim(
        f"ICL is kept with L2 of {THRESHOLD:g}",
        lambda control, *found: judge_kept(SWEEP.levels(found)[THRESHOLD], control),
        contradiction="ICL falls to half its peak, or never rises in a run three onsets without L2 "
        "long",
    ),
    Claim(
        "the more L2, the more of ICL is left after the half-decay without L2, up to "
        f"{THRESHOLD:g}",
        lambda control, *found: judge_trend(
            {0.0: control, **SWEEP.levels(found)}, retention(control)
        ),
        contradiction="less of ICL is left with more L2",
    ),
)

FIGURE = Figure(
    __name__,
    "L2 on all weights",
    SWEEP.drawing(control="no L2"),
    SWEEP.needs,
    CLAIMS,
)
