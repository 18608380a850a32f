"""Figure 14: IWL and loss in the runs of figures 5, 6, 8 and 9."""

from paper_figures.core.claims import Claim, readings
from paper_figures.core.figure import Figure, FigureResult, Numbers, blank
from paper_figures.core.plotting import legend_below
from paper_figures.core.runs import FigureRun
from paper_figures.transience.panels import IWL, LOSS, Groups, draw_panel, result_of
from paper_figures.transience.rules import all_runs, final_mean
from paper_figures.transience.sweep import needs_of
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


final_loss = final_mean("train", "loss")


def _falls(run: FigureRun) -> bool:
    """Return whether the loss at the end is below half its first value."""
    return final_loss(run) < float(run.curves("loss").values["train"][0]) / 2


CLAIMS = (
    Claim(
        "the loss falls in all settings, also where ICL never rises",
        lambda control, *found: readings(all_runs(*found), _falls, final_loss),
        contradiction="in half of the runs or more it ends above half its first value",
        ours=True,
    ),
)

FIGURE = Figure(
    __name__,
    "IWL and loss in the runs of figures 5, 6, 8 and 9",
    draw,
    needs_of(*PRESETS),
    CLAIMS,
)
