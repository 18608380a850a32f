"""Figure 3: shares of bursty sequences; after Chan et al. (2022)."""

from paper_figures.core.claims import Claim, Verdict
from paper_figures.core.figure import Figure
from paper_figures.transience.rules import all_runs, last, transient, trend
from paper_figures.transience.sweep import Sweep
from transformer.experiments.transience import P_BURSTY

SWEEP = Sweep("p_bursty_{:g}", {share: f"P(bursty) = {share:g}" for share in P_BURSTY})

CLAIMS = (
    Claim(
        "where few sequences are bursty, ICL is transient",
        lambda control, *found: transient(all_runs(*found[:-1]), control),
        contradiction="ICL never rises with P(bursty) below 1, or is above half its peak after "
        "three half-decays of the default run",
    ),
    Claim(
        "IWL accuracy at the end falls with P(bursty)",
        lambda control, *found: trend(SWEEP.levels(found), last("iwl", "accuracy"), rises=False),
        if_indecisive=Verdict.UNDECIDED,
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
