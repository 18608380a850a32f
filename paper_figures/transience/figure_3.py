"""Figure 3: shares of bursty sequences; after Chan et al. (2022)."""

from paper_figures.core.claims import Claim
from paper_figures.core.figure import Figure
from paper_figures.transience.rules import (
    final_mean,
    judge_transient_at_every,
    judge_trend,
    retention,
)
from paper_figures.transience.sweep import Sweep
from transformer.experiments.transience import P_BURSTY

SWEEP = Sweep("p_bursty_{:g}", {share: f"P(bursty) = {share:g}" for share in P_BURSTY})

CLAIMS = (
    Claim(
        "where few sequences are bursty, ICL is transient",
        lambda control, *found: judge_transient_at_every(found[:-1], control),
        needed=1,
        contradiction="with some P(bursty) below 1, in half of the runs or more ICL never rises, "
        "or is kept",
        explanation="where half of the sequences are bursty, ICL never rises",
    ),
    Claim(
        "ICL decays more slowly with a larger P(bursty): the share that is left after the "
        "control's half-decay",
        lambda control, *found: judge_trend(SWEEP.levels(found), retention(control)),
        contradiction="the share falls with P(bursty)",
    ),
    Claim(
        "IWL accuracy at the end falls with P(bursty)",
        lambda control, *found: judge_trend(
            SWEEP.levels(found), final_mean("iwl", "accuracy"), rises=False
        ),
        contradiction="IWL accuracy rises with P(bursty)",
    ),
)

FIGURE = Figure(
    __name__,
    "shares of bursty sequences",
    SWEEP.drawing(),
    SWEEP.needs,
    CLAIMS,
)
