"""Attention of the query to each token on CIWL's sequences: figures 2a and 12.

The paper's numbers are read off its figures by eye.
"""

from typing import TYPE_CHECKING

from paper_figures.coopetition.panels import PaperRange, draw_heads, draw_ranges
from paper_figures.core.claims import Reading, table_readings
from paper_figures.core.figure import Numbers
from paper_figures.core.runs import Array, KeptTable

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TOKENS = ("exemplar 1", "label 1", "exemplar 2", "label 2", "query")
TARGET, OTHER, NOTHING = (0.75, 0.8), (0.2, 0.25), (0.0, 0.02)  # attention of the paper's heads


def draw_query_row(ax: "Axes", letter: str, table: KeptTable, pair: int) -> Numbers:
    """Draw attention of the query to each token, if the target is the label of `pair` (from 1)."""
    row = table.select(measure="query_row", what=f"target in pair {pair}")
    numbers = draw_heads(ax, letter, row, "at", marker="o", ms=3)
    paper = {2 * pair - 1: TARGET, 5 - 2 * pair: OTHER}
    ranges: list[PaperRange] = [(at, *paper.get(at, NOTHING)) for at in range(len(TOKENS))]
    numbers += draw_ranges(ax, letter, ranges)
    ax.set_xticks(range(len(TOKENS)), TOKENS, rotation=20)
    title = f"{letter}  CIWL evaluator, target is label {pair}"
    ax.set(title=title, ylabel="attention of the query")
    ax.legend(frameon=False)
    return numbers


def _shares(table: KeptTable, pair: int) -> list[Array]:
    """Return each head's attention to the target's label, and to the other."""
    row = table.select(measure="query_row", what=f"target in pair {pair}")
    return [row.select(at=at).column() for at in (2 * pair - 1, 5 - 2 * pair)]


def attention_readings(tables: list[KeptTable], pair: int) -> list[Reading]:
    """Return whether all heads attend more to the target's label; the mean attention."""

    def measure(table: KeptTable) -> tuple[bool, float]:
        target, other = _shares(table.select(evaluator="ciwl", layer=1), pair)
        return bool((target > other).all()), float(target.mean())

    return table_readings(tables, measure)
