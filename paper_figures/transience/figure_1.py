"""Figure 1: ICL emerges and fades in the default run, while the loss falls."""

import numpy as np

from paper_figures.core.claims import Claim, Reading, readings
from paper_figures.core.figure import Figure, FigureResult
from paper_figures.core.runs import FigureRun, Runs
from paper_figures.transience.panels import ICL, ICL_ALL, IWL, LOSS, draw_panels
from paper_figures.transience.rules import final_mean, icl_events, judge_transient

SLOW = 0.5  # IWL accuracy below which it is still being learned; chosen here


def draw(runs: list[FigureRun]) -> FigureResult:
    """Draw ICL by both metrics, IWL, and the loss."""
    return draw_panels({"default": runs}, (ICL, ICL_ALL, IWL, LOSS))


final_iwl, final_train = final_mean("iwl", "accuracy"), final_mean("train", "accuracy")


def _iwl_is_slow(run: FigureRun) -> bool | None:
    """Return whether IWL accuracy is below `SLOW` although training sequences are answered."""
    iwl = final_iwl(run)
    return iwl < SLOW if final_train(run) >= 0.9 or iwl >= SLOW else None


def _loss_falls(run: FigureRun) -> Reading:
    """Return whether the loss is lower at the end than at ICL's peak."""
    peak_at, final = icl_events(run).peak_at, final_mean("train", "loss")(run)
    if peak_at is None:
        return Reading.of(run, None)
    losses = run.curves("loss")
    at_peak = float(np.interp(peak_at, losses.sequences, losses.values["train"]))
    return Reading.of(run, final < at_peak, final / at_peak)


CLAIMS = (
    Claim(
        "ICL is transient: it rises and falls to half its peak, over the two labels",
        judge_transient,
        contradiction="ICL never rises, or is above half its peak at the end",
    ),
    Claim(
        "ICL is transient over all labels too",
        lambda runs: judge_transient(runs, metric="accuracy"),
        contradiction="accuracy over all labels never rises, or is above half its peak at the end",
        explanation="accuracy over all labels stays low and hardly falls: in sequences of the ICL "
        "evaluator, models seldom give a label in context the highest probability of all labels",
    ),
    Claim(
        "IWL comes slowly: its accuracy is still below one half when training sequences are "
        "answered (accuracy 0.9)",
        lambda runs: readings(runs, _iwl_is_slow, final_iwl),
        contradiction="IWL accuracy is 0.5 or more at the end",
    ),
    Claim(
        "the loss on training sequences goes on falling while ICL fades",
        lambda runs: [_loss_falls(run) for run in runs],
        contradiction="the loss at the end is not below that at ICL's peak",
    ),
)

FIGURE = Figure(__name__, "the default run", draw, (Runs("transience/default"),), CLAIMS)
