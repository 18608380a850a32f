"""Figure 14: what labels attend to in the first layer, during the main run."""

from coopetition.plot.fits import SEQUENCES
from coopetition.plot.style import label_of
from paper_figures.coopetition.events import LATE
from paper_figures.coopetition.panels import draw_heads
from paper_figures.core.claims import Claim, Published, table_readings
from paper_figures.core.figure import Figure, FigureResult, Numbers, blank
from paper_figures.core.plotting import SHOWN_EVALUATORS
from paper_figures.core.runs import Array, KeptTable, Runs

MEASURES = {"previous_token": "to the token before", "self_attention": "to themselves"}


def draw(label_attention: list[KeptTable]) -> FigureResult:
    """Draw the run of the first seed: a row per measure, a column per evaluator."""
    table = label_attention[0].select(layer=0)
    drawing = blank(7.2, 3.8)
    axes = drawing.subplots(len(MEASURES), len(SHOWN_EVALUATORS), sharex=True, sharey=True)
    numbers: Numbers = []
    for (measure, target), row in zip(MEASURES.items(), axes, strict=True):
        for evaluator, ax in zip(SHOWN_EVALUATORS, row, strict=True):
            own = table.select(measure=measure, evaluator=evaluator)
            numbers += draw_heads(ax, f"{evaluator}, {measure}", own, "sequences", scale=1e6)
            ax.set(ylim=(0, 1), xlim=(0, LATE / table.run.rate_ratio))
        row[0].set_ylabel(f"attention of labels\n{target}")
    for evaluator, top, bottom in zip(SHOWN_EVALUATORS, *axes, strict=True):
        top.set_title(label_of(evaluator))
        bottom.set_xlabel(SEQUENCES)
    axes[0, 0].legend(frameon=False, ncols=2)
    return FigureResult(drawing, numbers, {"run": table.run.record()})


def _after_emergence(table: KeptTable) -> dict[str, Array]:
    """Return each head's attention to the token before, from emergence on."""
    own = table.select(layer=0, measure="previous_token", evaluator="train")
    first = table.run.timeline().emergence or 0.0
    return {head: y[x >= first] for head, (x, y) in own.curves("head", "sequences").items()}


def _single_head(table: KeptTable) -> tuple[bool, float]:
    """Return whether one head alone attends to the token before; how much at most."""
    peaks = sorted(float(y.max()) for y in _after_emergence(table).values())
    return peaks[-1] > 2 * peaks[-2], peaks[-1]


CLAIMS = (
    Claim(
        "after emergence, labels attend to the token before them in only one head of the first "
        "layer",
        lambda label_attention: table_readings(label_attention, _single_head),
        Published.of(0.23),
        contradiction="after emergence, no head attends to that token twice as much as each other "
        "head",
    ),
)

FIGURE = Figure(
    __name__,
    "attention of labels in the first layer during the main run",
    draw,
    (Runs("coopetition/main", "label_attention"),),
    CLAIMS,
)
