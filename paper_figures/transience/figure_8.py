"""Figure 8: L2 regularisation keeps ICL."""

from paper_figures.core.claims import Claim, Verdict
from paper_figures.core.figure import Figure, FigureResult
from paper_figures.core.runs import FigureRun, Runs
from paper_figures.transience.panels import draw_panels
from paper_figures.transience.rules import kept, retention, trend
from transformer.experiments.transience import L2

THRESHOLD = 1e-4  # the paper's: with more, the model is regularised too strongly
MODERATE = [c for c in L2 if c <= THRESHOLD]


def draw(control: list[FigureRun], *found: list[FigureRun]) -> FigureResult:
    """Draw ICL and IWL for each coefficient up to the paper's threshold."""
    groups = {f"L2 {c:g}": runs for c, runs in zip(MODERATE, found, strict=True)}
    return draw_panels({"no L2": control} | groups)


CLAIMS = (
    Claim(
        f"ICL is kept with L2 of {THRESHOLD:g}",
        lambda control, *found: kept(found[MODERATE.index(THRESHOLD)], control),
        contradiction="ICL falls to half its peak, or never rises in a run of three half-decays "
        "without L2",
    ),
    Claim(
        "the more L2, the more of ICL is left after the half-decay without L2, up to "
        f"{THRESHOLD:g}",
        lambda control, *found: trend(
            dict(zip((0.0, *MODERATE), (control, *found), strict=True)), retention(control)
        ),
        if_indecisive=Verdict.UNDECIDED,
        contradiction="less of ICL is left with more L2",
    ),
)

FIGURE = Figure(
    __name__,
    "L2 on all weights",
    draw,
    (
        Runs("transience/default"),
        *(Runs(f"transience/l2_{c:g}", optional=True) for c in MODERATE),
    ),
    CLAIMS,
)
