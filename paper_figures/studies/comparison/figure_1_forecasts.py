"""Forecasts of theories from the beginnings of runs, against what was measured."""

import math

from coopetition.dynamics.events import FORECAST_EVENTS
from coopetition.plot.style import FURTHER
from paper_figures.core.figure import Figure, FigureResult, Numbers, blank
from paper_figures.core.plotting import MILLION, shared_legend

SHOWN = ("toy", "logistic_race", "spline")  # and a naive forecast
MARKS = tuple(zip((*FURTHER[:3], "#000000"), "osD^", strict=True))


def draw() -> FigureResult:
    """Draw a panel per event: a point per run, on the line if the forecast's median is right."""
    from paper_figures.studies.comparison.kept_forecasts import LIKE_OTHER_TASKS, forecasts, score

    by_theory = forecasts()
    drawing = blank(7.2, 2.9)
    numbers: Numbers = []
    for ax, letter, event in zip(
        drawing.subplots(1, len(FORECAST_EVENTS)), "abc", FORECAST_EVENTS, strict=True
    ):
        panel, ends = f"{letter} {event}", []
        for theory, (colour, marker) in zip((*SHOWN, LIKE_OTHER_TASKS), MARKS, strict=True):
            each = by_theory[theory][event]
            times = zip(each.measured.tolist(), each.value.tolist(), strict=True)
            own = [(x / MILLION, y / MILLION) for x, y in times if max(x, y) < math.inf]
            numbers += [(panel, theory, *pair) for pair in own]
            ends += [time for pair in own for time in pair if time > 0]
            style = {"color": colour, "mfc": "none", "ms": 4}
            ax.plot([x for x, _ in own], [y for _, y in own], marker, label=theory, **style)
        ends = ends or [1.0]
        line = [0.8 * min(ends), 1.25 * max(ends)]
        numbers += [(panel, "as measured", z, z) for z in line]
        ax.plot(line, line, color="grey", lw=0.8)
        ax.set(xscale="log", yscale="log", xlim=line, ylim=line, aspect="equal")
        ax.set(title=f"{letter}  {event}", xlabel="measured (M sequences)")
        if letter == "a":
            ax.set(ylabel="forecast (M sequences)")
    shared_legend(drawing)
    findings = [
        f"{theory}, {event}: CRPS {own.crps:.2f}, factor {own.factor:.2f}, missed {own.missed:.2f} "
        f"of {own.n}"
        for theory, by_event in by_theory.items()
        for event in FORECAST_EVENTS
        for own in [score([by_event[event]])]
    ]
    return FigureResult(drawing, numbers, {}, findings)


FIGURE = Figure(__name__, "forecasts of theories, and what was measured", draw)
