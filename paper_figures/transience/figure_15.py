"""Figure 15: L2 beyond the paper's threshold is too strong."""

from paper_figures.core.claims import Claim, readings
from paper_figures.core.figure import Figure
from paper_figures.transience.figure_8 import THRESHOLD
from paper_figures.transience.panels import ICL, IWL, LOSS
from paper_figures.transience.rules import (
    all_runs,
    final_mean,
    judge_transient_at_every,
)
from paper_figures.transience.sweep import Sweep
from transformer.experiments.transience import L2

LITTLE = 0.05  # IWL accuracy; chosen here
SWEEP = Sweep("l2_{:g}", {c: f"L2 {c:g}" for c in L2 if c > THRESHOLD})
final_iwl = final_mean("iwl", "accuracy")

CLAIMS = (
    Claim(
        f"with L2 above {THRESHOLD:g} ICL is transient again",
        lambda control, *found: judge_transient_at_every(found, control),
        needed=1,
        contradiction="with some L2, in half of the runs or more ICL never rises, or is kept",
        explanation="with L2 of 0.0003 ICL rises in one of three runs, and with 0.001 in none",
    ),
    Claim(
        f"with L2 above {THRESHOLD:g} IWL never rises",
        lambda control, *found: readings(
            all_runs(*found), lambda run: final_iwl(run) < LITTLE, final_iwl
        ),
        contradiction="IWL accuracy at the end is 0.05 or more",
        explanation="with L2 of 0.001 ICL never rises, and from the start labels are learnt "
        "without the context",
    ),
)

FIGURE = Figure(
    __name__,
    "strong L2 on all weights",
    SWEEP.drawing((ICL, IWL, LOSS), control="no L2"),
    SWEEP.needs,
    CLAIMS,
)
