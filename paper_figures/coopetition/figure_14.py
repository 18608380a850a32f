"""Figure 14: what labels attend to in the first layer, during the main run."""

from coopetition.plot.fits import SEQUENCES
from coopetition.plot.style import label_of
from paper_figures.coopetition.events import LATE
from paper_figures.coopetition.heads import draw_heads
from paper_figures.core.claims import Claim, Published, Reading
from paper_figures.core.figure import Figure, FigureResult, Numbers, blank
from paper_figures.core.plotting import EVALUATORS
from paper_figures.core.runs import KeptTable, Tables

MEASURES = {"previous_token": "to the token before", "self_attention": "to themselves"}


def draw(label_attention: list[KeptTable]) -> FigureResult:
    """The run of the first seed: a row a measure, a column an evaluator."""
    table = label_attention[0].select(layer=0)
    drawing = blank(7.2, 3.8)
    axes = drawing.subplots(len(MEASURES), len(EVALUATORS), sharex=True, sharey=True)
    numbers: Numbers = []
    for (measure, what), row in zip(MEASURES.items(), axes, strict=True):
        for evaluator, ax in zip(EVALUATORS, row, strict=True):
            own = table.select(measure=measure, evaluator=evaluator)
            numbers += draw_heads(ax, f"{evaluator}, {measure}", own, "sequences", scale=1e6)
            ax.set(ylim=(0, 1), xlim=(0, LATE / table.run.rate_ratio))
        row[0].set_ylabel(f"attention of labels\n{what}")
    for evaluator, top, bottom in zip(EVALUATORS, *axes, strict=True):
        top.set_title(label_of(evaluator))
        bottom.set_xlabel(SEQUENCES)
    axes[0, 0].legend(frameon=False, ncols=2)
    return FigureResult(drawing, numbers, {"run": table.run.record()}, _findings(table))


def _findings(table: KeptTable) -> list[str]:
    """Which head attends to the token before once ICL has emerged, and how it ends."""
    told = table.run.timeline()
    curves = table.select(measure="previous_token", evaluator="train").curves("head", "sequences")
    after = {head: y[x >= (told.emergence or 0.0)] for head, (x, y) in curves.items()}
    best = max(after, key=lambda head: float(after[head].max()))
    others = max(float(y[-1]) for head, y in after.items() if head != best)
    return [
        f"labels attend to the token before most in head {best}: at most {after[best].max():.2f} "
        f"after emergence, {after[best][-1]:.2f} at the end (the paper's head 1: 0.23, 0.11 at "
        f"20 million); in other heads at most {others:.2f} at the end"
    ]


def _recovers(label_attention: list[KeptTable]) -> list[Reading]:
    """Whether one head alone attends to the token before after emergence; how much at most."""
    readings = []
    for table in label_attention:
        own = table.select(layer=0, measure="previous_token", evaluator="train")
        after = table.run.timeline().emergence or 0.0
        curves = own.curves("head", "sequences").values()
        tops = sorted(float(y[x >= after].max()) for x, y in curves)
        readings.append(Reading.of(table.run, tops[-1] > 2 * tops[-2], tops[-1]))
    return readings


CLAIMS = (
    Claim(
        "after emergence labels attend to the token before them in one head of the first layer "
        "only",
        _recovers,
        Published.of(0.23),
        contradiction="after emergence no head attends to the token before twice as much as "
        "every other head",
    ),
)

FIGURE = Figure(
    "coopetition",
    "14",
    "14",
    "attention of labels in the first layer during the main run",
    draw,
    needs=(Tables("label_attention", "coopetition/main"),),
    claims=CLAIMS,
)
