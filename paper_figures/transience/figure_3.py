"""Figure 3: shares of bursty sequences; after Chan et al. (2022)."""

from paper_figures.core.claims import Claim, Verdict
from paper_figures.core.figure import Figure, FigureResult
from paper_figures.core.runs import FigureRun, Runs
from paper_figures.transience.panels import draw_panels
from paper_figures.transience.rules import all_runs, last, transient, trend
from transformer.experiments.transience import P_BURSTY

NAMES = [f"P(bursty) = {share:g}" for share in P_BURSTY]


def draw(control: list[FigureRun], *found: list[FigureRun]) -> FigureResult:
    """Draw ICL and IWL for each share."""
    return draw_panels(dict(zip(NAMES, found, strict=True)))


CLAIMS = (
    Claim(
        "where few sequences are bursty, ICL is transient",
        lambda control, *found: transient(all_runs(*found[:-1]), control),
        contradiction="ICL never rises with P(bursty) below 1, or is above half its peak after "
        "three half-decays of the default run",
    ),
    Claim(
        "IWL accuracy at the end falls with P(bursty)",
        lambda control, *found: trend(
            dict(zip(P_BURSTY, found, strict=True)), last("iwl", "accuracy"), rises=False
        ),
        if_indecisive=Verdict.UNDECIDED,
        contradiction="IWL accuracy rises with P(bursty)",
    ),
)

FIGURE = Figure(
    __name__,
    "shares of bursty sequences",
    draw,
    (
        Runs("transience/default"),
        *(Runs(f"transience/p_bursty_{share:g}", optional=True) for share in P_BURSTY),
    ),
    CLAIMS,
)
