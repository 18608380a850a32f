"""Figure 10: width, with joint training and with data for ICL or IWL alone."""

from paper_figures.core.claims import Claim
from paper_figures.core.figure import Figure, FigureResult, Numbers, blank
from paper_figures.core.plotting import shared_legend
from paper_figures.core.runs import FigureRun
from paper_figures.transience.panels import ICL, IWL, Groups, draw_panel, result_of
from paper_figures.transience.rules import (
    Levels,
    final_mean,
    judge_no_rise,
    judge_trend,
    peak,
    retention,
)
from paper_figures.transience.sweep import needs_of
from transformer.experiments.transience import WIDTHS

KINDS = {"": "joint", "_icl_only": "ICL only", "_iwl_only": "IWL only"}
TOLERANCE = 0.1  # of accuracies; chosen here
PANELS = (("joint", ICL), ("joint", IWL), ("ICL only", ICL), ("IWL only", IWL))


def draw(control: list[FigureRun], *found: list[FigureRun]) -> FigureResult:
    """Draw ICL and IWL of joint training, and of each alone what it trains."""
    drawing = blank(12.0, 2.6)
    numbers: Numbers = []
    drawn: dict[str, list[FigureRun]] = {}
    for letter, ax, (kind, panel) in zip("abcd", drawing.subplots(1, 4), PANELS, strict=True):
        groups: Groups = {f"width {n}": runs for n, runs in _levels(found, kind).items()}
        drawn |= {f"{kind}, {name}": [*runs] for name, runs in groups.items()}
        numbers += draw_panel(ax, letter, panel, groups)
        ax.set(title=f"{letter}  {panel.title}: {kind}")
    shared_legend(drawing)
    return result_of(drawing, numbers, drawn)


def _levels(found: tuple[list[FigureRun], ...], kind: str) -> Levels:
    """Return the runs of a kind of training by width."""
    first = [*KINDS.values()].index(kind) * len(WIDTHS)
    return dict(zip(WIDTHS, found[first : first + len(WIDTHS)], strict=True))


CLAIMS = (
    Claim(
        "joint training: a wider model has a higher ICL peak",
        lambda control, *found: judge_trend(_levels(found, "joint"), peak),
        contradiction="the peak is lower in wider models",
    ),
    Claim(
        "joint training: ICL decays more slowly in a wider model: the share that is left after "
        "the control's half-decay",
        lambda control, *found: judge_trend(_levels(found, "joint"), retention(control)),
        contradiction="the share falls with the width",
    ),
    Claim(
        "IWL only: a wider model has the higher IWL accuracy at the end",
        lambda control, *found: judge_trend(
            _levels(found, "IWL only"), final_mean("iwl", "accuracy")
        ),
        contradiction="the accuracy is lower in wider models",
    ),
    Claim(
        "ICL only: width does not help: ICL accuracy at the end does not rise",
        lambda control, *found: judge_no_rise(
            _levels(found, "ICL only"), final_mean("icl", ICL.metric), TOLERANCE
        ),
        contradiction="the accuracy rises significantly with width, by more than 0.1",
    ),
)

FIGURE = Figure(
    __name__,
    "width: joint training, ICL only, IWL only",
    draw,
    needs_of(*(f"width_{n}{kind}" for kind in KINDS for n in WIDTHS)),
    CLAIMS,
)
