"""Figure 2: what the last layer attends to when the answer is in the weights, and what it copies.

The paper's numbers are read off its figure by eye.
"""

from matplotlib.axes import Axes

from paper_figures.coopetition.heads import Band, draw_heads, draw_published
from paper_figures.core.claims import Claim, Published, Reading
from paper_figures.core.figure import Figure, FigureResult, Numbers, blank
from paper_figures.core.plotting import draw_half
from paper_figures.core.runs import KeptTable, Tables

TOKENS = ("exemplar 1", "label 1", "exemplar 2", "label 2", "query")
TARGET, OTHER, NOTHING = (0.75, 0.8), (0.2, 0.25), (0.0, 0.02)  # attention of the paper's heads
COPIED: list[Band] = [(-1, 0.06, 0.12), (0, 0.48, 0.52), (1, 0.875, 0.945)]


def draw(mechanisms: list[KeptTable]) -> FigureResult:
    """The run of the first seed."""
    table = mechanisms[0].select(evaluator="ciwl", layer=1)
    drawing = blank(7.2, 3)
    row_axes, copy_axes = drawing.subplots(1, 2)
    numbers = draw_query_row(row_axes, "a", table, pair=1)
    copied = table.select(measure="copying")
    numbers += draw_heads(copy_axes, "b", copied, "at")
    numbers += draw_published(copy_axes, "b", COPIED)
    draw_half(copy_axes)
    copy_axes.set(
        title="b  each head alone",
        xlabel="attention to the target's label less that to the other",
        ylabel="in-context accuracy",
    )
    copy_axes.legend(frameon=False)
    ends = {at: copied.select(at=at).column("value") for at in (-1.0, 1.0)}
    findings = [
        attention_finding(table, pair=1),
        *(
            f"a head alone at {at:+.0f}: {values.min():.3f} to {values.max():.3f} of sequences "
            f"right (the paper's: {low:.3f} to {high:.3f})"
            for (at, values), (_, low, high) in zip(ends.items(), COPIED[::2], strict=True)
        ),
    ]
    return FigureResult(drawing, numbers, {"run": mechanisms[0].run.record()}, findings)


def draw_query_row(ax: Axes, letter: str, table: KeptTable, pair: int) -> Numbers:
    """Attention of the query to each token, where the target is the label of a pair (from 1)."""
    row = table.select(measure="query_row", what=f"target in pair {pair}")
    numbers = draw_heads(ax, letter, row, "at", marker="o", ms=3)
    numbers += draw_published(ax, letter, _published(pair))
    ax.set_xticks(range(len(TOKENS)), TOKENS, rotation=20)
    ax.set(
        title=f"{letter}  CIWL evaluator, target is label {pair}", ylabel="attention of the query"
    )
    ax.legend(frameon=False)
    return numbers


def attention_finding(table: KeptTable, pair: int) -> str:
    """What the heads attend to, in a line."""
    row = table.select(measure="query_row", what=f"target in pair {pair}")
    shares = {
        name: row.select(at=2 * label - 1).column("value")
        for name, label in (("the target", pair), ("the other label", 3 - pair))
    }
    told = (f"to {name} {each.min():.3f} to {each.max():.3f}" for name, each in shares.items())
    return f"attention of the heads {', '.join(told)} (the paper's: 0.75 to 0.8, about 0.2)"


def _published(pair: int) -> list[Band]:
    place = {2 * pair - 1: TARGET, 5 - 2 * pair: OTHER}
    return [(token, *place.get(token, NOTHING)) for token in range(len(TOKENS))]


def to_the_target(tables: list[KeptTable], pair: int) -> list[Reading]:
    """Whether all heads attend more to the target's label than to the other; the mean of heads."""
    readings = []
    for each in tables:
        own = each.select(evaluator="ciwl", layer=1, measure="query_row")
        row = own.select(what=f"target in pair {pair}")
        target, other = (row.select(at=at).column("value") for at in (2 * pair - 1, 5 - 2 * pair))
        readings.append(Reading.of(each.run, bool((target > other).all()), float(target.mean())))
    return readings


def _copied(tables: list[KeptTable]) -> list[Reading]:
    """Whether every head alone answers what it attends to; the mean of heads where that is all."""
    readings = []
    for each in tables:
        own = each.select(evaluator="ciwl", layer=1, measure="copying")
        lowest, highest = (own.select(at=at).column("value") for at in (-1.0, 1.0))
        copies = bool((highest > 0.8).all() and (lowest < 0.2).all())
        readings.append(Reading.of(each.run, copies, float(highest.mean())))
    return readings


CLAIMS = (
    Claim(
        "CIWL is attention to the label that belongs to the query's class, in every head",
        lambda mechanisms: to_the_target(mechanisms, pair=1),
        Published(*TARGET),
        contradiction="a head attends to the other label as much as to the target, or more",
    ),
    Claim(
        "every head alone copies the label that it attends to",
        _copied,
        Published(*COPIED[-1][1:]),
        contradiction="a head alone answers 80 % or less of what it attends to, or 20 % or "
        "more of what it does not",
    ),
)

FIGURE = Figure(
    "coopetition",
    "2",
    "2",
    "CIWL: attention to the target, and what single heads copy",
    draw,
    needs=(Tables("mechanisms", "coopetition/main"),),
    claims=CLAIMS,
)
