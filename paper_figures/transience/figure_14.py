"""Figure 14: IWL and loss in the runs of figures 5, 6, 8 and 9."""

from paper_figures.core.claims import Claim, Reading
from paper_figures.core.figure import Figure, FigureResult, Numbers, blank
from paper_figures.core.plotting import legend_below
from paper_figures.core.runs import FigureRun, Runs
from paper_figures.transience.panels import IWL, LOSS, Groups, draw_panel, result_of
from paper_figures.transience.rules import all_runs, last
from transformer.experiments.transience import CLASSES, EXEMPLARS, L2, ZIPF

SETTINGS = {
    "exemplars": [f"exemplars_{n}" for n in EXEMPLARS],
    "classes": [f"classes_{n}" for n in CLASSES],
    "L2": [f"l2_{c:g}" for c in L2],
    "Zipf": [f"zipf_{x:g}" for x in ZIPF],
}
PRESETS = [name for names in SETTINGS.values() for name in names]


def draw(control: list[FigureRun], *found: list[FigureRun]) -> FigureResult:
    """Draw IWL (above) and loss (below), a column per setting."""
    drawing = blank(3.0 * len(SETTINGS), 5.6)
    axes = drawing.subplots(2, len(SETTINGS))
    runs = dict(zip(PRESETS, found, strict=True))
    numbers: Numbers = []
    for row, panel in enumerate((IWL, LOSS)):
        for column, (setting, names) in enumerate(SETTINGS.items()):
            groups: Groups = {name: runs[name] for name in names}
            ax, letter = axes[row, column], "abcdefgh"[row * len(SETTINGS) + column]
            numbers += draw_panel(ax, letter, panel, groups)
            ax.set(title=f"{letter}  {panel.title}: {setting}")
            if row:
                legend_below(ax)
    return result_of(drawing, numbers, runs)


def _falls(run: FigureRun) -> Reading:
    """Return whether the loss at the end is below half its first value."""
    first = float(run.curves("loss").values["train"][0])
    final = last("train", "loss")(run)
    return Reading.of(run, final < first / 2, final)


CLAIMS = (
    Claim(
        "the loss falls in all settings, also where ICL never rises",
        lambda control, *found: [_falls(run) for run in all_runs(*found)],
        contradiction="in half of the runs or more it ends above half its first value",
        ours=True,
    ),
)

FIGURE = Figure(
    __name__,
    "IWL and loss in the runs of figures 5, 6, 8 and 9",
    draw,
    (
        Runs("transience/default"),
        *(Runs(f"transience/{name}", optional=True) for name in PRESETS),
    ),
    CLAIMS,
)
