"""How well theories fit every run, and the fade that they expect against the one that came."""

import math

import numpy as np
from matplotlib.axes import Axes

from coopetition.compare.theory import CURVES, TOY
from coopetition.plot.style import COLOURS, label_of
from paper_figures.comparison.tables import fits, forecasts, number
from paper_figures.core.figure import Figure, FigureResult, Numbers, blank
from paper_figures.core.plotting import legend_below, once

MILLION = 1e6


def draw() -> FigureResult:
    """a: R2 of every curve of every run.  b: the toy's forecasts of the fade, with intervals."""
    drawing = blank(7.2, 3.0)
    fit_axes, fade_axes = drawing.subplots(1, 2, width_ratios=(3, 2))
    rows = [row for own in fits().values() for row in own]
    names = list(dict.fromkeys(row["theory"] for row in rows))
    r2 = {
        (name, curve): [float(row[f"r2_{curve}"]) for row in rows if row["theory"] == name]
        for name in names
        for curve in CURVES
    }
    names.sort(key=lambda name: -np.median([x for curve in CURVES for x in r2[name, curve]]))
    numbers: Numbers = []
    for k, name in enumerate(names):
        for j, curve in enumerate(CURVES):
            values = r2[name, curve]
            y = np.full(len(values), k + 0.22 * (j - 1))
            label = label_of(curve) if k == 0 else None
            fit_axes.plot(values, y, "|", ms=5, color=COLOURS[curve], alpha=0.5, label=label)
            fit_axes.plot([np.median(values)], y[:1], "D", ms=3, color=COLOURS[curve])
            numbers += [("a R2", f"{name}, {curve}", x, z) for x, z in zip(y, values, strict=True)]
            numbers.append(("a R2", f"{name}, {curve}, median", float(y[0]), np.median(values)))
    fit_axes.set_yticks(range(len(names)), names)
    fit_axes.invert_yaxis()
    fit_axes.set(title="a  R2 of every fit (diamond: median; below 0.5 left out)", xlim=(0.5, 1.01))
    legend_below(fit_axes, 3)
    numbers += _draw_fades(fade_axes)
    low = min(min(values) for values in r2.values())
    findings = [
        f"{name}: median R2 {np.median([x for c in CURVES for x in r2[name, c]]):.3f}"
        for name in names
    ]
    findings.append(f"R2 below 0.5 is not drawn; the lowest is {low:.3f}")
    return FigureResult(drawing, numbers, {}, findings)


def _draw_fades(ax: Axes) -> Numbers:
    numbers: Numbers = []
    for row in forecasts()[TOY]["fade"]:
        true, value = number(row["measured"]), number(row["value"])
        low, high = number(row["low"]), number(row["high"])
        end = float(row["end"])
        shown = [min(x, end) / MILLION for x in (low, high)]
        if true < math.inf:
            ax.plot([true / MILLION] * 2, shown, color="grey", lw=1)
            drawn = min(value, end) / MILLION
            label, marker = ("expected", "o") if value < math.inf else ("not by the run's end", "^")
            look = {"color": "black", "ms": 4, "mfc": "none", "label": once(ax, label)}
            ax.plot([true / MILLION], [drawn], marker, **look)
            told = "expected" if value < math.inf else "not expected: its end"
            numbers.append(("b fade", f"{row['run']}, {told}", true / MILLION, drawn))
            for end, place in zip(("low", "high"), shown, strict=True):
                numbers.append(("b fade", f"{row['run']}, {end}", true / MILLION, place))
    ends = ax.get_xlim()
    ax.plot(ends, ends, color="grey", lw=0.8, ls=":")
    ax.set(
        xscale="log",
        yscale="log",
        title="b  fade, known until 1.5 x Flip's rise",
        xlabel="measured (M sequences)",
        ylabel="expected by the toy (M sequences)",
    )
    legend_below(ax)
    return numbers


FIGURE = Figure(
    "comparison", "2", "2", "fits of every run, and the fade that the toy expects", draw
)
