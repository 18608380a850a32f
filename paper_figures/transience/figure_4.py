"""Figure 4: ICL is transient at every depth."""

import math

from paper_figures.core.claims import FACTOR, Claim
from paper_figures.core.figure import Figure
from paper_figures.transience.rules import (
    judge_no_trend,
    judge_transient_at_every,
    log_onset,
    peak,
    retention,
)
from paper_figures.transience.sweep import Sweep
from transformer.experiments.transience import DEPTHS

TOLERANCE = 0.1  # of accuracies and shares; chosen here


SWEEP = Sweep("depth_{}", {n: f"{n} layers" for n in DEPTHS})

CLAIMS = (
    Claim(
        "ICL is transient at every depth",
        lambda control, *found: judge_transient_at_every(found, control),
        needed=1,
        contradiction="at some depth, in half of the runs or more ICL never rises, or is kept",
    ),
    Claim(
        f"ICL's onset has no trend with depth: mean onsets differ by at most a factor of {FACTOR}",
        lambda control, *found: judge_no_trend(SWEEP.levels(found), log_onset, math.log(FACTOR)),
        contradiction="it rises or falls significantly with depth, by more than this factor",
    ),
    Claim(
        "the height of ICL's peak has no trend with depth",
        lambda control, *found: judge_no_trend(SWEEP.levels(found), peak, TOLERANCE),
        contradiction="it rises or falls significantly with depth, by more than 0.1",
    ),
    Claim(
        "ICL decays alike at every depth: the share that is left after the control's half-decay",
        lambda control, *found: judge_no_trend(SWEEP.levels(found), retention(control), TOLERANCE),
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
