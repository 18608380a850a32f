"""Figure 2: what the last layer attends to when the answer is in the weights, and what it copies.

The paper's numbers are read off its figure by eye.
"""

from paper_figures.coopetition.panels import PaperRange, draw_heads, draw_ranges
from paper_figures.coopetition.query_row import (
    TARGET,
    attention_readings,
    draw_query_row,
)
from paper_figures.core.claims import Claim, Published, table_readings
from paper_figures.core.figure import Figure, FigureResult, blank
from paper_figures.core.plotting import draw_half
from paper_figures.core.runs import KeptTable, Runs

COPIED: list[PaperRange] = [(-1, 0.06, 0.12), (0, 0.48, 0.52), (1, 0.875, 0.945)]


def draw(mechanisms: list[KeptTable]) -> FigureResult:
    """Draw both panels of the first seed's run."""
    table = mechanisms[0].select(evaluator="ciwl", layer=1)
    drawing = blank(7.2, 3)
    row_axes, copy_axes = drawing.subplots(1, 2)
    numbers = draw_query_row(row_axes, "a", table, pair=1)
    copied = table.select(measure="copying")
    numbers += draw_heads(copy_axes, "b", copied, "at")
    numbers += draw_ranges(copy_axes, "b", COPIED)
    draw_half(copy_axes)
    copy_axes.set(
        title="b  each head alone",
        xlabel="attention to the target's label minus that to the other",
        ylabel="in-context accuracy",
    )
    copy_axes.legend(frameon=False)
    return FigureResult(drawing, numbers, {"run": table.run.record()})


def _copying(table: KeptTable) -> tuple[bool, float]:
    """Return whether every head alone answers what it attends to; the mean accuracy."""
    copied = table.select(evaluator="ciwl", layer=1, measure="copying")
    lowest, highest = (copied.select(at=at).column() for at in (-1.0, 1.0))
    return bool((highest > 0.8).all() and (lowest < 0.2).all()), float(highest.mean())


CLAIMS = (
    Claim(
        "CIWL is attention to the label of the query's class, in every head",
        lambda mechanisms: attention_readings(mechanisms, pair=1),
        Published(*TARGET),
        contradiction="a head attends to the other label as much as to the target, or more",
    ),
    Claim(
        "every head alone copies the label that it attends to",
        lambda mechanisms: table_readings(mechanisms, _copying),
        Published(*COPIED[-1][1:]),
        contradiction="a head alone has an accuracy of 0.8 or less if it attends to the target, "
        "or 0.2 or more if it attends to the other label",
    ),
)

FIGURE = Figure(
    __name__,
    "CIWL: attention to the target, and what single heads copy",
    draw,
    (Runs("coopetition/main", "mechanisms"),),
    CLAIMS,
)
