"""Figure 4: ICL is transient at every depth."""

from paper_figures.core.claims import Claim, Verdict
from paper_figures.core.figure import Figure, FigureResult
from paper_figures.core.runs import FigureRun, Runs
from paper_figures.transience.panels import draw_panels
from paper_figures.transience.rules import Levels, all_runs, no_trend, peak, retention, transient
from transformer.experiments.transience import DEPTHS

TOLERANCE = 0.1  # of accuracies and shares; chosen here


def draw(control: list[FigureRun], *found: list[FigureRun]) -> FigureResult:
    """Draw ICL and IWL for each depth."""
    return draw_panels({f"{n} layers": runs for n, runs in zip(DEPTHS, found, strict=True)})


def _levels(found: tuple[list[FigureRun], ...]) -> Levels:
    return dict(zip(DEPTHS, found, strict=True))


CLAIMS = (
    Claim(
        "ICL is transient at every depth",
        lambda control, *found: transient(all_runs(*found), control),
        contradiction="in half of the runs or more ICL never rises, or is kept",
    ),
    Claim(
        "the height of ICL's peak has no trend with depth",
        lambda control, *found: no_trend(_levels(found), peak, TOLERANCE),
        if_indecisive=Verdict.UNDECIDED,
        contradiction="it rises or falls significantly with depth, by more than 0.1",
    ),
    Claim(
        "ICL decays alike at every depth: the share that is left after the control's half-decay",
        lambda control, *found: no_trend(_levels(found), retention(control), TOLERANCE),
        if_indecisive=Verdict.UNDECIDED,
        contradiction="the share rises or falls significantly with depth, by more than 0.1",
    ),
)

FIGURE = Figure(
    __name__,
    "depth",
    draw,
    (Runs("transience/default"), *(Runs(f"transience/depth_{n}", optional=True) for n in DEPTHS)),
    CLAIMS,
)
