"""Figure 15: heads in superposition: two heads' strengths, and sharper and flatter attention.

a: induction strength of two heads.  b: each head alone.  c: all heads attend to labels only, and
the temperature of one of them changes.  Where that was not measured, c shows a variant of our own:
all heads share one temperature, and may attend to exemplars.
"""

import numpy as np

from paper_figures.coopetition.panels import PaperRange, draw_heads, draw_ranges
from paper_figures.core.claims import Claim, Published, table_readings
from paper_figures.core.figure import Figure, FigureResult, blank, points
from paper_figures.core.plotting import legend_below
from paper_figures.core.runs import KeptTable, Runs

ALONE: list[PaperRange] = [(0.1, 0.79, 0.825), (1, 0.75, 0.78), (8, 0.65, 0.665)]  # by temperature
TOGETHER: list[PaperRange] = [(1, 0.98345, 0.98345)]  # of one head; the others have 1


def draw(superposition: list[KeptTable]) -> FigureResult:
    """Draw the run of the first seed, on training sequences."""
    table = superposition[0]
    strengths = table.select(measure="strength_by_sequence")
    first, second = (strengths.select(head=head).column() for head in (0, 1))
    drawing = blank(7.2, 2.7)
    scatter_axes, alone_axes, all_axes = drawing.subplots(1, 3)
    scatter_axes.plot(first, second, ".", ms=3, color="black")
    scatter_axes.set(
        title="a  two heads, sequence by sequence",
        xlabel="induction strength, head 0",
        ylabel="induction strength, head 1",
    )
    numbers = points("a", "head 1 against head 0", first, second)
    alone = table.select(measure="head_alone")
    numbers += draw_heads(alone_axes, "b", alone, "at", marker=".")
    numbers += draw_ranges(alone_axes, "b", ALONE)
    alone_axes.set(title="b  each head alone, labels only")
    one_heated = table.select(measure="superposition")
    if one_heated.rows:
        all_axes.set(title="c  all heads, one heated, labels only")
        numbers += draw_heads(all_axes, "c", one_heated, "at", marker=".")
        numbers += draw_ranges(all_axes, "c", TOGETHER)
    else:
        all_axes.set(title="c  our variant: all heads heated")
        note = "the paper's panel c\nis not measured"
        all_axes.text(0.05, 0.1, note, transform=all_axes.transAxes)
        variant = table.select(measure="common_temperature")
        numbers += draw_heads(all_axes, "c, our variant", variant, "at", marker="o", color="black")
    for ax in (alone_axes, all_axes):
        ax.set(xscale="log", xlabel="temperature", ylabel="in-context probability")
    legend_below(alone_axes, 3)
    correlation = np.corrcoef(first, second)[0, 1]
    finding = (
        f"strengths of heads 0 and 1 correlate by {correlation:.2f} over {len(first)} sequences"
    )
    return FigureResult(drawing, numbers, {"run": table.run.record()}, [finding])


def _sharpening(table: KeptTable) -> tuple[bool, float]:
    """Return whether every head alone is better the sharper it attends; the mean at 0.1."""
    alone = table.select(measure="head_alone")
    falls = all((np.diff(y) <= 0).all() for _, y in alone.curves("head", "at").values())
    return falls, float(alone.select(at=0.1).column().mean())


def _better_than_alone(measure: str, table: KeptTable) -> tuple[bool, float]:
    """Return whether a measure at temperature 1 exceeds each head alone at any; its mean."""
    value = float(table.select(measure=measure, at=1.0).column().mean())
    return value > float(table.select(measure="head_alone").column().max()), value


CLAIMS = (
    Claim(
        "the sharper the attention of a head alone, the better it answers",
        lambda tables: table_readings(tables, _sharpening),
        Published(*ALONE[0][1:]),
        contradiction="a head alone answers better at a higher temperature",
    ),
    Claim(
        "all heads together answer better than any head alone",
        lambda tables: table_readings(
            [table for table in tables if table.select(measure="superposition").rows],
            lambda table: _better_than_alone("superposition", table),
        ),
        Published(*TOGETHER[0][1:]),
        contradiction="a head alone answers as well as all heads together",
    ),
    Claim(
        "the unchanged model, which also attends to exemplars, answers better than any head alone",
        lambda tables: table_readings(
            tables, lambda table: _better_than_alone("common_temperature", table)
        ),
        ours=True,
        contradiction="a head alone answers as well as the unchanged model",
    ),
)

FIGURE = Figure(
    __name__,
    "heads in superposition: strengths of two, and temperatures",
    draw,
    (Runs("coopetition/main", "superposition"),),
    CLAIMS,
)
