"""What theories expect of runs whose beginning they know, against what was measured."""

import math

from coopetition.compare.forecast import EVENTS
from coopetition.plot.style import FURTHER
from paper_figures.comparison.tables import OTHERS, forecasts, number, score
from paper_figures.core.figure import Figure, FigureResult, Numbers, blank
from paper_figures.core.plotting import legend_of_all

SHOWN = ("toy", "logistic_race", "spline", OTHERS)
MARKS = tuple(zip((*FURTHER[:3], "#000000"), "osD^", strict=True))
MILLION = 1e6


def draw() -> FigureResult:
    """A panel an event; a point a run, on the line if it came when expected."""
    found = forecasts()
    drawing = blank(7.2, 2.9)
    numbers: Numbers = []
    for ax, letter, event in zip(drawing.subplots(1, len(EVENTS)), "abc", EVENTS, strict=True):
        panel = f"{letter} {event}"
        for theory, (colour, marker) in zip(SHOWN, MARKS, strict=True):
            times = [(number(r["measured"]), number(r["value"])) for r in found[theory][event]]
            own = [(x / MILLION, y / MILLION) for x, y in times if max(x, y) < math.inf]
            numbers += [(panel, theory, x, y) for x, y in own]
            ax.plot(
                [x for x, _ in own],
                [y for _, y in own],
                marker,
                color=colour,
                mfc="none",
                ms=4,
                label=theory,
            )
        ends = [z for where, _, x, y in numbers if where == panel for z in (x, y) if z > 0] or [1.0]
        line = [0.8 * min(ends), 1.25 * max(ends)]
        numbers += [(panel, "as measured", z, z) for z in line]
        ax.plot(line, line, color="grey", lw=0.8)
        ax.set(xscale="log", yscale="log", xlim=line, ylim=line, aspect="equal")
        ax.set(title=f"{letter}  {event}", xlabel="measured (M sequences)")
        if letter == "a":
            ax.set(ylabel="expected (M sequences)")
    legend_of_all(drawing)
    findings = [
        f"{theory}, {event}: factor {told.factor:.2f}, missed {told.missed:.2f} of {told.n}"
        for theory, by_event in found.items()
        for event in EVENTS
        for told in [score(by_event[event])]
    ]
    return FigureResult(drawing, numbers, {}, findings)


FIGURE = Figure("comparison", "1", "1", "what theories expect of runs, and what they measure", draw)
