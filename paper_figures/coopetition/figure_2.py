"""Figure 2: what the last layer attends to when the answer is in the weights, and what it copies.

The paper's numbers are read off its figure by eye.
"""

from typing import TYPE_CHECKING

from paper_figures.coopetition.events import table_readings
from paper_figures.coopetition.panels import Band, draw_heads, draw_ranges
from paper_figures.core.claims import Claim, Published, Reading
from paper_figures.core.figure import Figure, FigureResult, Numbers, blank
from paper_figures.core.plotting import draw_half
from paper_figures.core.runs import KeptTable, Tables

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TOKENS = ("exemplar 1", "label 1", "exemplar 2", "label 2", "query")
TARGET, OTHER, NOTHING = (0.75, 0.8), (0.2, 0.25), (0.0, 0.02)  # attention of the paper's heads
COPIED: list[Band] = [(-1, 0.06, 0.12), (0, 0.48, 0.52), (1, 0.875, 0.945)]


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
    findings = [attention_finding(table, pair=1)]
    for at, low, high in COPIED[::2]:
        values = copied.select(at=float(at)).column()
        findings.append(
            f"a head alone at {at:+.0f}: {values.min():.3f} to {values.max():.3f} of sequences "
            f"right (the paper's: {low:.3f} to {high:.3f})"
        )
    return FigureResult(drawing, numbers, {"run": table.run.record()}, findings)


def draw_query_row(ax: "Axes", letter: str, table: KeptTable, pair: int) -> Numbers:
    """Draw attention of the query to each token, if the target is the label of `pair` (from 1)."""
    row = table.select(measure="query_row", what=f"target in pair {pair}")
    numbers = draw_heads(ax, letter, row, "at", marker="o", ms=3)
    paper = {2 * pair - 1: TARGET, 5 - 2 * pair: OTHER}
    bands: list[Band] = [(at, *paper.get(at, NOTHING)) for at in range(len(TOKENS))]
    numbers += draw_ranges(ax, letter, bands)
    ax.set_xticks(range(len(TOKENS)), TOKENS, rotation=20)
    title = f"{letter}  CIWL evaluator, target is label {pair}"
    ax.set(title=title, ylabel="attention of the query")
    ax.legend(frameon=False)
    return numbers


def attention_finding(table: KeptTable, pair: int) -> str:
    """Return what the heads attend to, in one line."""
    texts = (
        f"to {name} {each.min():.3f} to {each.max():.3f}"
        for name, each in zip(("the target", "the other label"), _shares(table, pair), strict=True)
    )
    return f"attention of the heads {', '.join(texts)} (the paper's: 0.75 to 0.8, about 0.2)"


def _shares(table: KeptTable, pair: int):
    """Return each head's attention to the target's label, and to the other."""
    row = table.select(measure="query_row", what=f"target in pair {pair}")
    return [row.select(at=at).column() for at in (2 * pair - 1, 5 - 2 * pair)]


def attention_readings(tables: list[KeptTable], pair: int) -> list[Reading]:
    """Return whether all heads attend more to the target's label; the mean attention."""

    def measure(table: KeptTable) -> tuple[bool, float]:
        target, other = _shares(table.select(evaluator="ciwl", layer=1), pair)
        return bool((target > other).all()), float(target.mean())

    return table_readings(tables, measure)


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
        contradiction="a head alone answers 80 % or less of what it attends to, or 20 % or "
        "more of what it does not",
    ),
)

FIGURE = Figure(
    __name__,
    "CIWL: attention to the target, and what single heads copy",
    draw,
    (Tables("coopetition/main", "mechanisms"),),
    CLAIMS,
)
