"""Figure 5: more exemplars of a class raise ICL's peak."""

from paper_figures.core.claims import Claim, Verdict
from paper_figures.core.figure import Figure, FigureResult
from paper_figures.core.runs import FigureRun, Runs
from paper_figures.transience.panels import draw_panels
from paper_figures.transience.rules import all_runs, peak, transient, trend
from transformer.experiments.transience import EXEMPLARS

NAMES = [f"{n} exemplar{'s' * (n > 1)} of a class" for n in EXEMPLARS]


def draw(control: list[FigureRun], *found: list[FigureRun]) -> FigureResult:
    """Draw ICL and IWL for each number of exemplars."""
    return draw_panels(dict(zip(NAMES, found, strict=True)))


CLAIMS = (
    Claim(
        "ICL is transient whatever the number of exemplars",
        lambda control, *found: transient(all_runs(*found), control),
        contradiction="in half of the runs or more ICL never rises, or is kept",
    ),
    Claim(
        "ICL's peak is higher with more exemplars of a class",
        lambda control, *found: trend(dict(zip(EXEMPLARS, found, strict=True)), peak),
        if_indecisive=Verdict.UNDECIDED,
        contradiction="the peak is lower with more exemplars",
    ),
)

FIGURE = Figure(
    __name__,
    "exemplars of a class",
    draw,
    (
        Runs("transience/default"),
        *(Runs(f"transience/exemplars_{n}", optional=True) for n in EXEMPLARS),
    ),
    CLAIMS,
)
