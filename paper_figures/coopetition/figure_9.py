"""Figure 9: fewer exemplars, and fewer classes."""

from paper_figures.claim import Claim, Published, Reading
from paper_figures.coopetition.events import event, fades, never_emerges, readings
from paper_figures.coopetition.settings import draw_settings
from paper_figures.figure import Figure
from paper_figures.needs import Runs
from paper_figures.result import FigureResult
from paper_figures.sources import FigureRun

SIZES = ("12800x20", "12800x5", "1600x20", "1600x5")
SHOWN = 100.0  # millions of the paper's sequences


def draw(*groups: list[FigureRun]) -> FigureResult:
    """A panel a size of the data."""
    return draw_settings(dict(zip(SIZES, groups, strict=True)), SHOWN)


def final_iwl(run: FigureRun) -> float:
    """Accuracy of IWL over all labels, after the paper's 100 million sequences or at the end."""
    return run.at("iwl", SHOWN, "accuracy")


def _later(runs: list[FigureRun], main: list[FigureRun]) -> list[Reading]:
    """Whether ICL fades, and later than in the main run of the same seed (or the first)."""
    by_seed = {run.init_seed: run for run in main}

    def holds(run: FigureRun) -> bool | None:
        other = event("fade")(by_seed.get(run.init_seed, main[0]))
        own, faded = event("fade")(run), fades(run)
        if own is None or other is None:
            return faded
        return own > other

    return readings(runs, holds, event("fade"))


CLAIMS = (
    Claim(
        "12,800 classes, 5 exemplars: ICL fades, but later than with 20 (6.3M)",
        lambda main, five, *few: _later(five, main),
        Published(11.5e6, 11.5e6, "sequences"),
    ),
    Claim(
        "1,600 classes, 20 exemplars: ICL is never preferred",
        lambda main, five, twenty, few: readings(twenty, never_emerges),
    ),
    Claim(
        "1,600 classes, 5 exemplars: ICL is never preferred",
        lambda main, five, twenty, few: readings(few, never_emerges),
    ),
    Claim(
        "1,600 classes, 5 exemplars: labels that are not in context are hardly learnt by 100M",
        lambda main, five, twenty, few: readings(few, lambda run: final_iwl(run) < 0.2, final_iwl),
        Published(0.05, 0.05),
    ),
)

FIGURE = Figure(
    "coopetition",
    "9",
    "9",
    "classes and exemplars",
    draw,
    needs=(
        Runs("coopetition/main"),
        *(Runs(f"coopetition/{size}", optional=True) for size in SIZES[1:]),
    ),
    claims=CLAIMS,
)
