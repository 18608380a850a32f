"""Figure 11: in-weights learning by several evaluators, in the default run."""

from paper_figures.core.claims import Claim, Reading
from paper_figures.core.figure import Figure, FigureResult
from paper_figures.core.runs import METRIC, FigureRun, Runs
from paper_figures.transience.panels import CIWL, IWL, Panel, draw_panels
from paper_figures.transience.rules import last

ENOUGH = 0.5  # accuracy; chosen here
PANELS = (
    Panel("bursts of 2, over all labels", "train_burst_2", "accuracy"),
    IWL,
    CIWL,
    Panel("CIWL, over all labels", "ciwl", "accuracy"),
    Panel("Flip, over the labels in context", "flip", METRIC),
    Panel("Flip, over all labels", "flip", "accuracy"),
)


def draw(runs: list[FigureRun]) -> FigureResult:
    """Draw each evaluator, over the labels in context and over all labels."""
    return draw_panels({"default": runs}, PANELS)


def _shows_more(run: FigureRun) -> Reading:
    """Return whether the in-weights answer shows where its label is in the context, only there."""
    ciwl, iwl = (last(name, "accuracy")(run) for name in ("ciwl", "iwl"))
    return Reading.of(run, ciwl > iwl and ciwl >= ENOUGH > iwl, ciwl)


def _prefers_weights(run: FigureRun) -> Reading:
    """Return whether Flip accuracy ends below one half: the in-weights label is preferred."""
    flip = last("flip", METRIC)(run)
    return Reading.of(run, flip < 0.5, flip)


CLAIMS = (
    Claim(
        "what the weights know shows when the label is in the context (CIWL accuracy over all "
        "labels 0.5 or more at the end), and not when it is absent (IWL accuracy below 0.5)",
        lambda runs: [_shows_more(run) for run in runs],
        contradiction="CIWL accuracy is below 0.5, or IWL accuracy 0.5 or more",
    ),
    Claim(
        "at the end the in-weights label is preferred where both are in the context: Flip "
        "accuracy below one half",
        lambda runs: [_prefers_weights(run) for run in runs],
        contradiction="Flip accuracy at the end is one half or more",
    ),
)

FIGURE = Figure(
    __name__, "evaluators of in-weights learning", draw, (Runs("transience/default"),), CLAIMS
)
