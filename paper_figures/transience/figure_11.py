"""Figure 11: in-weights learning by several evaluators, in the default run."""

from paper_figures.core.claims import Claim, readings
from paper_figures.core.figure import Figure, FigureResult
from paper_figures.core.runs import FigureRun, Runs
from paper_figures.transience.panels import CIWL, FLIP, IWL, Panel, draw_panels
from paper_figures.transience.rules import final_mean

ENOUGH = 0.5  # accuracy; chosen here
PANELS = (
    Panel("bursts of 2, over all labels", "train_burst_2", "accuracy"),
    IWL,
    CIWL,
    Panel("CIWL, over all labels", "ciwl", "accuracy"),
    FLIP,
    Panel("Flip, over all labels", "flip", "accuracy"),
)


def draw(runs: list[FigureRun]) -> FigureResult:
    """Draw each evaluator, over the labels in context and over all labels."""
    return draw_panels({"default": runs}, PANELS)


final_ciwl, final_iwl = final_mean("ciwl", "accuracy"), final_mean("iwl", "accuracy")
final_flip = final_mean(*FLIP[1:])


def _shows_more(run: FigureRun) -> bool:
    """Return whether the in-weights answer shows where its label is in the context, only there."""
    return final_ciwl(run) >= ENOUGH > final_iwl(run)


CLAIMS = (
    Claim(
        "what the weights know shows when the label is in the context (CIWL accuracy over all "
        "labels 0.5 or more at the end), and not when it is absent (IWL accuracy below 0.5)",
        lambda runs: readings(runs, _shows_more, final_ciwl),
        contradiction="CIWL accuracy is below 0.5, or IWL accuracy 0.5 or more",
    ),
    Claim(
        "at the end the in-weights label is preferred where both are in the context: Flip "
        "accuracy below one half",
        lambda runs: readings(runs, lambda run: final_flip(run) < 0.5, final_flip),
        contradiction="Flip accuracy at the end is one half or more",
    ),
)

FIGURE = Figure(
    __name__, "evaluators of in-weights learning", draw, (Runs("transience/default"),), CLAIMS
)
