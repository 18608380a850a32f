"""Figure 15: heads in superposition: two heads' strengths, and sharper and flatter attention.

a: induction strength of two heads.  b: each head alone.  c: all heads attend to labels only, and
the temperature of one of them changes.  Tables that were measured before c was have a variant of
our own instead: all heads share one temperature, and may attend to exemplars.
"""

import numpy as np
from matplotlib.axes import Axes

from paper_figures.coopetition.heads import Band, draw_heads, draw_published
from paper_figures.core.claims import Claim, Published, Reading
from paper_figures.core.figure import Figure, FigureResult, Numbers, blank, points
from paper_figures.core.plotting import legend_below
from paper_figures.core.runs import KeptTable, Tables

ALONE: list[Band] = [(0.1, 0.79, 0.825), (1, 0.75, 0.78), (8, 0.65, 0.665)]  # by temperature
TOGETHER: list[Band] = [(1, 0.98345, 0.98345)]  # of one head, where the others have 1
SPREAD = (0.981, 0.9839)  # over all temperatures of one head


def draw(superposition: list[KeptTable]) -> FigureResult:
    """The run of the first seed, on training sequences."""
    table = superposition[0]
    alone = table.select(measure="head_alone")
    strengths = table.select(measure="strength_by_sequence")
    first, second = (strengths.select(head=head).column("value") for head in (0, 1))
    drawing = blank(7.2, 2.7)
    scatter_axes, alone_axes, all_axes = drawing.subplots(1, 3)
    scatter_axes.plot(first, second, ".", ms=3, color="black")
    together = float(np.corrcoef(first, second)[0, 1])
    scatter_axes.set(
        title="a  two heads, sequence by sequence",
        xlabel="induction strength, head 0",
        ylabel="induction strength, head 1",
    )
    numbers = points("a", "head 1 against head 0", first, second)
    numbers += draw_heads(alone_axes, "b", alone, "at", marker=".")
    numbers += draw_published(alone_axes, "b", ALONE)
    alone_axes.set(title="b  each head alone, labels only")
    more, finding = _draw_all_heads(all_axes, table)
    numbers += more
    for ax in (alone_axes, all_axes):
        ax.set(xscale="log", xlabel="temperature", ylabel="in-context probability")
    legend_below(alone_axes, 3)
    ends = {at: alone.select(at=at).column("value") for at in (0.1, 1.0, 8.0)}
    told = ", ".join(f"{v.min():.3f} to {v.max():.3f} at {at:g}" for at, v in ends.items())
    paper = ", ".join(f"{low:g} to {high:g} at {at:g}" for at, low, high in ALONE)
    findings = [
        f"strengths of heads 0 and 1 correlate by {together:.2f} over {len(first)} sequences",
        f"a head alone, by temperature: {told} (the paper's: {paper})",
        finding,
    ]
    return FigureResult(drawing, numbers, {"run": table.run.record()}, findings)


def _draw_all_heads(ax: Axes, table: KeptTable) -> tuple[Numbers, str]:
    """Panel c and a line on it: the paper's manipulation, or our variant where that is missing."""
    one_of_all = table.select(measure="superposition")
    if one_of_all.rows:
        ax.set(title="c  all heads, one heated, labels only")
        numbers = draw_heads(ax, "c", one_of_all, "at", marker=".")
        values = one_of_all.column("value")
        return numbers + draw_published(ax, "c", TOGETHER), (
            f"all heads, the temperature of one changed: {values.min():.4f} to {values.max():.4f} "
            f"(the paper's: {SPREAD[0]:g} to {SPREAD[1]:g})"
        )
    ax.set(title="c  our variant: all heads heated")
    note = "the paper's panel c\nis not measured"
    ax.text(0.05, 0.1, note, transform=ax.transAxes)
    variant = table.select(measure="common_temperature")
    numbers = draw_heads(ax, "c, our variant", variant, "at", marker="o", color="black")
    return numbers, (
        "panel c shows a variant of our own: all heads share a temperature (at 1: "
        f"{variant.select(at=1.0).value():.4f}); 15c as published, one head at a time and labels "
        "only, is not measured and needs the last checkpoint: `python -m paper_figures make "
        f"coopetition 15 --scale {table.run.provenance['scale']} --runs DIR`"
    )


def _sharper(superposition: list[KeptTable]) -> list[Reading]:
    """Whether every head alone is the better the sharper it attends; the mean at 0.1."""
    readings = []
    for table in superposition:
        alone = table.select(measure="head_alone")
        falls = all((np.diff(y) <= 0).all() for _, y in alone.curves("head", "at").values())
        sharpest = float(alone.select(at=0.1).column("value").mean())
        readings.append(Reading.of(table.run, falls, sharpest))
    return readings


def _together(superposition: list[KeptTable]) -> list[Reading]:
    """Whether all heads, attending to labels at temperature 1, are better than each alone at any.

    No reading of a table in which that was not measured.
    """
    readings = []
    for table in superposition:
        together = table.select(measure="superposition", at=1.0)
        if together.rows:
            value = float(together.column("value").mean())
            readings.append(Reading.of(table.run, value > _best_alone(table), value))
    return readings


def _variant(superposition: list[KeptTable]) -> list[Reading]:
    """Whether the model left alone is better than each head alone at any temperature."""
    readings = []
    for table in superposition:
        value = table.select(measure="common_temperature", at=1.0).value()
        readings.append(Reading.of(table.run, value > _best_alone(table), value))
    return readings


def _best_alone(table: KeptTable) -> float:
    return float(table.select(measure="head_alone").column("value").max())


CLAIMS = (
    Claim(
        "a head alone is the better the sharper it attends",
        _sharper,
        Published(*ALONE[0][1:]),
        contradiction="a head alone answers better at a higher temperature",
    ),
    Claim(
        "all heads together are better than any alone: they add up what each tells weakly",
        _together,
        Published(*TOGETHER[0][1:]),
        contradiction="a head alone answers as well as all heads together",
    ),
    Claim(
        "the model as it is, with attention to exemplars too, is better than any head alone",
        _variant,
        ours=True,
        contradiction="a head alone answers as well as the model as it is",
    ),
)

FIGURE = Figure(
    "coopetition",
    "15",
    "15",
    "heads in superposition: strengths of two, and temperatures",
    draw,
    needs=(Tables("superposition", "coopetition/main"),),
    claims=CLAIMS,
)
