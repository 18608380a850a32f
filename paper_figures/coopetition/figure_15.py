"""Figure 15: heads in superposition: two heads' strengths, and sharper and flatter attention."""

import numpy as np

from paper_figures.bands import legend_below
from paper_figures.claim import Claim, Published, Reading
from paper_figures.coopetition.heads import Band, draw_heads, draw_published
from paper_figures.figure import Figure
from paper_figures.needs import Tables
from paper_figures.result import FigureResult, blank, points
from paper_figures.sources import KeptTable

ALONE: list[Band] = [(0.1, 0.79, 0.825), (1, 0.75, 0.78), (8, 0.65, 0.665)]  # by temperature
TOGETHER: list[Band] = [(1, 0.98345, 0.98345)]


def draw(superposition: list[KeptTable]) -> FigureResult:
    """The run of the first seed, on training sequences."""
    table = superposition[0]
    heads = table.select(measure="superposition")
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
    numbers += draw_heads(alone_axes, "b", heads.select(what="alone"), "at", marker=".")
    numbers += draw_published(alone_axes, "b", ALONE)
    alone_axes.set(title="b  each head alone, labels only")
    numbers += draw_heads(all_axes, "c", heads.select(what="all"), "at", marker="o", color="black")
    numbers += draw_published(all_axes, "c", TOGETHER)
    all_axes.set(title="c  all heads")
    for ax in (alone_axes, all_axes):
        ax.set(xscale="log", xlabel="temperature", ylabel="in-context probability")
    legend_below(alone_axes, 3)
    ends = {at: heads.select(what="alone", at=at).column("value") for at in (0.1, 1.0, 8.0)}
    told = ", ".join(f"{v.min():.3f} to {v.max():.3f} at {at:g}" for at, v in ends.items())
    paper = ", ".join(f"{low:g} to {high:g} at {at:g}" for at, low, high in ALONE)
    everything = heads.select(what="all", at=1.0).value()
    findings = [
        f"strengths of heads 0 and 1 correlate by {together:.2f} over {len(first)} sequences",
        f"a head alone, by temperature: {told} (the paper's: {paper})",
        f"all heads at temperature 1: {everything:.4f} (the paper's: {TOGETHER[0][1]:.4f})",
    ]
    return FigureResult(drawing, numbers, {"run": table.run.record()}, findings)


def _sharper(superposition: list[KeptTable]) -> list[Reading]:
    """Whether every head alone is the better the sharper it attends; the mean at 0.1."""
    readings = []
    for table in superposition:
        alone = table.select(measure="superposition", what="alone")
        falls = all((np.diff(y) <= 0).all() for _, y in alone.curves("head", "at").values())
        sharpest = float(alone.select(at=0.1).column("value").mean())
        readings.append(Reading(table.run.name, falls, sharpest))
    return readings


def _together(superposition: list[KeptTable]) -> list[Reading]:
    """Whether all heads at temperature 1 are better than each alone at any."""
    readings = []
    for table in superposition:
        heads = table.select(measure="superposition")
        everything = heads.select(what="all", at=1.0).value()
        best = heads.select(what="alone").column("value").max()
        readings.append(Reading(table.run.name, bool(everything > best), everything))
    return readings


CLAIMS = (
    Claim(
        "a head alone is the better the sharper it attends",
        _sharper,
        Published(*ALONE[0][1:]),
    ),
    Claim(
        "all heads together are better than any alone: they add up what each tells weakly",
        _together,
        Published(*TOGETHER[0][1:]),
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
