"""Figure 12: as figure 2a, where the target is the second label."""

from paper_figures.coopetition.figure_2 import (
    TARGET,
    attention_finding,
    draw_query_row,
    to_the_target,
)
from paper_figures.core.claims import Claim, Published
from paper_figures.core.figure import Figure, FigureResult, blank
from paper_figures.core.runs import KeptTable, Tables


def draw(mechanisms: list[KeptTable]) -> FigureResult:
    """The run of the first seed."""
    table = mechanisms[0].select(evaluator="ciwl", layer=1)
    drawing = blank(3.6, 3)
    numbers = draw_query_row(drawing.subplots(), "", table, pair=2)
    record = {"run": mechanisms[0].run.record()}
    return FigureResult(drawing, numbers, record, [attention_finding(table, pair=2)])


CLAIMS = (
    Claim(
        "CIWL is attention to the target also where that is the second label",
        lambda mechanisms: to_the_target(mechanisms, pair=2),
        Published(*TARGET),
        contradiction="a head attends to the other label as much as to the target, or more",
    ),
)

FIGURE = Figure(
    "coopetition",
    "12",
    "12",
    "CIWL: attention where the target is the second label",
    draw,
    needs=(Tables("mechanisms", "coopetition/main"),),
    claims=CLAIMS,
)
