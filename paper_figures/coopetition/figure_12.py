"""Figure 12: as figure 2a, if the target is the second label."""

from paper_figures.coopetition.query_row import (
    TARGET,
    attention_readings,
    draw_query_row,
)
from paper_figures.core.claims import Claim, Published
from paper_figures.core.figure import Figure, FigureResult, blank
from paper_figures.core.runs import KeptTable, Runs


def draw(mechanisms: list[KeptTable]) -> FigureResult:
    """Draw attention in the first seed's run."""
    table = mechanisms[0].select(evaluator="ciwl", layer=1)
    drawing = blank(3.6, 3)
    numbers = draw_query_row(drawing.subplots(), "", table, pair=2)
    return FigureResult(drawing, numbers, {"run": table.run.record()})


CLAIMS = (
    Claim(
        "CIWL is attention to the target, also if the target is the second label",
        lambda mechanisms: attention_readings(mechanisms, pair=2),
        Published(*TARGET),
        contradiction="a head attends to the other label as much as to the target, or more",
    ),
)

FIGURE = Figure(
    __name__,
    "CIWL: attention if the target is the second label",
    draw,
    (Runs("coopetition/main", "mechanisms"),),
    CLAIMS,
)
