"""Figure 12: features of a frozen network in place of a trained encoder."""

from paper_figures.core.claims import Claim, Verdict
from paper_figures.core.figure import Figure, FigureResult
from paper_figures.core.runs import METRIC, FigureRun, Runs
from paper_figures.transience.panels import ICL, IWL, Panel, draw_panels
from paper_figures.transience.rules import all_runs, peak, transient, trend

NUMBERS = (1600, 12800)
FLIP = Panel("Flip, over the labels in context", "flip", METRIC)


def draw(control: list[FigureRun], *found: list[FigureRun]) -> FigureResult:
    """Draw ICL, IWL and Flip for each number of classes."""
    groups = {f"{n:,} classes": runs for n, runs in zip(NUMBERS, found, strict=True)}
    return draw_panels(groups, (ICL, IWL, FLIP))


CLAIMS = (
    Claim(
        "ICL is transient on frozen features",
        lambda control, *found: transient(all_runs(*found), control),
        contradiction="in half of the runs or more ICL never rises, or is above half its peak "
        "after three half-decays of the default run",
    ),
    Claim(
        "on frozen features too, ICL's peak is higher with more classes",
        lambda control, *found: trend(dict(zip(NUMBERS, found, strict=True)), peak),
        if_indecisive=Verdict.UNDECIDED,
        contradiction="the peak is lower with more classes",
    ),
)

FIGURE = Figure(
    __name__,
    "features of a frozen network",
    draw,
    (
        Runs("transience/default"),
        *(Runs(f"transience/features_{n}", optional=True) for n in NUMBERS),
    ),
    CLAIMS,
)
