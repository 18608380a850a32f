"""Fits of all theories to every run, and forecasts of the fade by the toy against measurements."""

import math
from typing import TYPE_CHECKING

import numpy as np

from coopetition.fitting.curves import FITTED_CURVES
from coopetition.plot.style import COLOURS, label_of
from paper_figures.core.figure import Figure, FigureResult, Numbers, blank
from paper_figures.core.plotting import MILLION, label_once, legend_below

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw() -> FigureResult:
    """Draw R2 of every curve of every run (a), and the toy's forecasts of the fade (b)."""
    from paper_figures.studies.comparison.page_comparison import fits

    drawing = blank(7.2, 3.0)
    fit_axes, fade_axes = drawing.subplots(1, 2, width_ratios=(3, 2))
    rows = [row for own in fits().values() for row in own]
    names = list(dict.fromkeys(row["theory"] for row in rows))
    r2 = {
        name: {
            curve: [float(row[f"r2_{curve}"]) for row in rows if row["theory"] == name]
            for curve in FITTED_CURVES
        }
        for name in names
    }
    medians = {name: np.median([*r2[name].values()]) for name in names}
    names.sort(key=lambda name: -medians[name])
    numbers: Numbers = []
    for k, name in enumerate(names):
        for j, (curve, values) in enumerate(r2[name].items()):
            y = k + 0.22 * (j - 1)
            look = {"color": COLOURS[curve]}
            label = label_of(curve) if k == 0 else None
            fit_axes.plot(values, [y] * len(values), "|", ms=5, alpha=0.5, label=label, **look)
            fit_axes.plot([np.median(values)], [y], "D", ms=3, **look)
            numbers += [("a R2", f"{name}, {curve}", y, value) for value in values]
            numbers.append(("a R2", f"{name}, {curve}, median", y, float(np.median(values))))
    fit_axes.set_yticks(range(len(names)), names)
    fit_axes.invert_yaxis()
    fit_axes.set(title="a  R2 of every fit above 0.5 (diamond: median)", xlim=(0.5, 1.01))
    legend_below(fit_axes, 3)
    numbers += _draw_fades(fade_axes)
    lowest = min(value for by_curve in r2.values() for own in by_curve.values() for value in own)
    findings = [f"{name}: median R2 {medians[name]:.3f}" for name in names]
    findings.append(f"R2 below 0.5 is not drawn; the lowest is {lowest:.3f}")
    return FigureResult(drawing, numbers, {}, findings)


def _draw_fades(ax: "Axes") -> Numbers:
    """Draw medians and intervals, thick as forecast and thin as recalibrated, up to the end."""
    from paper_figures.studies.comparison.kept_forecasts import forecasts

    numbers: Numbers = []
    raw = forecasts()["toy"]["fade"]
    recalibrated = raw.recalibrate()
    for k, (run, true) in enumerate(zip(raw.runs, raw.measured / MILLION, strict=True)):
        if math.isinf(true):
            continue
        end = raw.end[k] / MILLION
        for each, name, width in ((raw, "forecast", 2), (recalibrated, "recalibrated", 0.8)):
            ends = each.low[k] / MILLION, each.high[k] / MILLION
            interval = np.clip(ends, raw.known_until[k] / MILLION, end)
            ax.plot([true] * 2, interval, color="grey", lw=width, label=label_once(ax, name))
            numbers += [("b fade", f"{run}, {name}", true, float(y)) for y in interval]
        value = raw.value[k] / MILLION
        label, marker = ("median", "o") if value < end else ("median after the run's end", "^")
        style = {"color": "black", "ms": 4, "mfc": "none"}
        ax.plot([true], [min(value, end)], marker, label=label_once(ax, label), **style)
        numbers.append(("b fade", f"{run}, {label}", true, float(min(value, end))))
    ends = ax.get_xlim()
    ax.plot(ends, ends, color="grey", lw=0.8, ls=":")
    ax.set(
        xscale="log",
        yscale="log",
        title="b  fade, known until 1.5 x Flip's rise",
        xlabel="measured (M sequences)",
        ylabel="forecast by the toy (M sequences)",
    )
    legend_below(ax)
    return numbers


FIGURE = Figure(__name__, "fits of every run, and the toy's forecast of the fade", draw)
