"""Figure 9: skewed class frequencies (Zipf), with the evaluators' classes rarest or most frequent.

Chan et al. call the rarest class 0, the authors' later code the most frequent one.  The ICL
evaluator relabels its classes 0 and 1, so that its two labels are the rarest or the most frequent.
"""

from paper_figures.core.claims import Claim
from paper_figures.core.figure import Figure, FigureResult, blank
from paper_figures.core.plotting import shared_legend
from paper_figures.core.runs import FigureRun
from paper_figures.transience.panels import ICL, IWL, draw_panel, result_of
from paper_figures.transience.rules import (
    judge_transient_at_every,
    judge_trend,
    retention,
)
from paper_figures.transience.sweep import needs_of
from transformer.experiments.transience import ZIPF

ORDERS = {"": "class 0 rarest", "_rarest_last": "class 0 most frequent"}
MODERATE = tuple(exponent for exponent in ZIPF if exponent <= 1)  # chosen here


def draw(control: list[FigureRun], *found: list[FigureRun]) -> FigureResult:
    """Draw ICL and IWL for each exponent, a row per order of the classes."""
    drawing = blank(6.0, 5.0)
    axes = drawing.subplots(2, 2)
    numbers, drawn = [], {}
    for row, (order, pair) in enumerate(zip(ORDERS.values(), axes, strict=True)):
        groups = {"uniform": control} | {
            f"exponent {exponent:g}": runs
            for exponent, runs in zip(ZIPF, _ordered(found, row), strict=True)
        }
        drawn |= {f"{order}, {name}": runs for name, runs in groups.items() if name != "uniform"}
        for letter, ax, panel in zip("abcd"[2 * row :], pair, (ICL, IWL), strict=False):
            numbers += draw_panel(ax, letter, panel, groups)
            ax.set(title=f"{letter}  {panel.title}: {order}")
    shared_legend(drawing)
    return result_of(drawing, numbers, {"uniform": control} | drawn)


def _ordered(found: tuple[list[FigureRun], ...], row: int) -> tuple[list[FigureRun], ...]:
    """Return the runs of one order of the classes, by exponent."""
    return found[row * len(ZIPF) : (row + 1) * len(ZIPF)]


CLAIMS = (
    *(
        Claim(
            f"moderate skew (exponents up to 1) delays the decay, {order}: more of ICL is left "
            "after the half-decay of uniform classes",
            lambda control, *found, row=row: judge_trend(
                dict(zip((0.0, *MODERATE), (control, *_ordered(found, row)), strict=False)),
                retention(control),
            ),
            contradiction="less of ICL is left with more skew",
        )
        for row, order in enumerate(ORDERS.values())
    ),
    Claim(
        "with moderate skew ICL is still transient",
        lambda control, *found: judge_transient_at_every(
            [runs for row in range(len(ORDERS)) for runs in _ordered(found, row)[: len(MODERATE)]],
            control,
        ),
        needed=1,
        contradiction="with some exponent and order, in half of the runs or more ICL never rises, "
        "or is kept",
        explanation="with an exponent of 1, ICL never rises for the labels of the two most "
        "frequent classes",
    ),
)

FIGURE = Figure(
    __name__,
    "skewed class frequencies",
    draw,
    needs_of(*(f"zipf_{x:g}{order}" for order in ORDERS for x in ZIPF)),
    CLAIMS,
)
