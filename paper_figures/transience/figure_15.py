"""Figure 15: L2 beyond the paper's threshold is too strong."""

from paper_figures.core.claims import Claim, Reading
from paper_figures.core.figure import Figure, FigureResult
from paper_figures.core.runs import FigureRun, Runs
from paper_figures.transience.figure_8 import THRESHOLD
from paper_figures.transience.panels import ICL, IWL, LOSS, draw_panels
from paper_figures.transience.rules import all_runs, last, transient
from transformer.experiments.transience import L2

STRONG = [c for c in L2 if c > THRESHOLD]
LITTLE = 0.05  # IWL accuracy; chosen here


def draw(control: list[FigureRun], *found: list[FigureRun]) -> FigureResult:
    """Draw ICL, IWL and loss for each coefficient above the threshold."""
    groups = {f"L2 {c:g}": runs for c, runs in zip(STRONG, found, strict=True)}
    return draw_panels({"no L2": control} | groups, (ICL, IWL, LOSS))


def _never_rises(run: FigureRun) -> Reading:
    """Return whether IWL accuracy at the end is that of a model without in-weights learning."""
    iwl = last("iwl", "accuracy")(run)
    return Reading.of(run, iwl < LITTLE, iwl)


CLAIMS = (
    Claim(
        f"with L2 above {THRESHOLD:g} ICL is transient again",
        lambda control, *found: transient(all_runs(*found), control),
        contradiction="in half of the runs or more ICL never rises, or is kept",
    ),
    Claim(
        f"with L2 above {THRESHOLD:g} IWL never rises",
        lambda control, *found: [_never_rises(run) for run in all_runs(*found)],
        contradiction="IWL accuracy at the end is 0.05 or more",
    ),
)

FIGURE = Figure(
    __name__,
    "strong L2 on all weights",
    draw,
    (
        Runs("transience/default"),
        *(Runs(f"transience/l2_{c:g}", optional=True) for c in STRONG),
    ),
    CLAIMS,
)
