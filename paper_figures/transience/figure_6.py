"""Figure 6: more classes raise ICL's peak and slow its decay."""

from paper_figures.core.claims import Claim, Verdict
from paper_figures.core.figure import Figure, FigureResult
from paper_figures.core.runs import FigureRun, Runs
from paper_figures.transience.panels import draw_panels
from paper_figures.transience.rules import Levels, all_runs, peak, retention, transient, trend
from transformer.experiments.transience import CLASSES


def draw(control: list[FigureRun], *found: list[FigureRun]) -> FigureResult:
    """Draw ICL and IWL for each number of classes."""
    return draw_panels({f"{n:,} classes": runs for n, runs in zip(CLASSES, found, strict=True)})


def _levels(found: tuple[list[FigureRun], ...]) -> Levels:
    return dict(zip(CLASSES, found, strict=True))


CLAIMS = (
    Claim(
        "ICL is transient with all numbers of classes",
        lambda control, *found: transient(all_runs(*found), control),
        contradiction="in half of the runs or more ICL never rises, or is kept",
    ),
    Claim(
        "ICL's peak is higher with more classes",
        lambda control, *found: trend(_levels(found), peak),
        if_indecisive=Verdict.UNDECIDED,
        contradiction="the peak is lower with more classes",
    ),
    Claim(
        "ICL decays more slowly with more classes: the share that is left after the control's "
        "half-decay",
        lambda control, *found: trend(_levels(found), retention(control)),
        if_indecisive=Verdict.UNDECIDED,
        contradiction="the share falls with the number of classes",
    ),
)

FIGURE = Figure(
    __name__,
    "numbers of classes",
    draw,
    (
        Runs("transience/default"),
        *(Runs(f"transience/classes_{n}", optional=True) for n in CLASSES),
    ),
    CLAIMS,
)
