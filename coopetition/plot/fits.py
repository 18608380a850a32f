"""Plots of measured curves, of theories fitted to them, and of what these expect.

Plots of how much worse a fit gets elsewhere: profiles and contours.
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from coopetition.compare.noise import autocorrelations
from coopetition.plot.style import DASHES, label_of, line_styles, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes


SEQUENCES = "sequences seen (millions)"


def plot_curves(
    curves: Any, *, ax: "Axes | None" = None, label: bool = True, **style: Any
) -> "Axes":
    """Measured curves against sequences seen, in millions."""
    ax = new_axes(ax)
    styles = line_styles(curves.values)
    for name, values in curves.values.items():
        text = label_of(name) if label else None
        ax.plot(curves.sequences / 1e6, values, label=text, **styles[name] | style)
    ax.set(xlabel=SEQUENCES)
    return ax


def plot_measured(curves: Any, *, ax: "Axes | None" = None) -> "Axes":
    """All that was measured against sequences seen, in millions, with a legend and the metric.

    Gaps are bridged, so that a curve that was measured rarely is seen.
    """
    ax = new_axes(ax)
    styles = line_styles(curves.values)
    for name, values in curves.values.items():
        known = np.isfinite(values)
        x = curves.sequences[known] / 1e6
        ax.plot(x, values[known], label=label_of(name), **styles[name])
    ax.set(xlabel=SEQUENCES, ylabel=curves.metric.replace("_", " "))
    ax.legend(frameon=False)
    return ax


def plot_fit(fit: Any, *, ax: "Axes | None" = None) -> "Axes":
    """Measured curves (points) and the fitted theory (lines), in millions of sequences."""
    ax = new_axes(ax)
    styles = _styles(fit)
    for name, each in fit.curves.items():
        style, x = styles[name], each.sequences / 1e6
        ax.plot(x, each.measured, ".", ms=3, alpha=0.5, color=style["color"])
        label = f"{_label(name)}: $R^2$ = {each.r2:.3f}"
        ax.plot(x, each.fitted, label=label, **style)
    ax.set(xlabel=SEQUENCES, ylabel=fit.problem.runs[0].metric.replace("_", " "))
    ax.legend(frameon=False)
    return ax


def _styles(fit: Any) -> dict[str, dict[str, Any]]:
    """Of a fit's curves: a strategy has its colour in all runs, and a run its dashes."""
    parts = {name: name.rpartition("/") for name in fit.curves}
    runs = [*dict.fromkeys(run for run, _, _ in parts.values())]
    of_strategies = line_styles(curve for _, _, curve in parts.values())
    return {
        name: of_strategies[curve] | {"linestyle": DASHES[runs.index(run) % len(DASHES)]}
        for name, (run, _, curve) in parts.items()
    }


def _label(name: str) -> str:
    run, _, curve = name.rpartition("/")
    return f"{label_of(curve)}, {run}" if run else label_of(curve)


def plot_residuals(fit: Any, *, ax: "Axes | None" = None) -> "Axes":
    """Measured minus fitted, in root mean squares; the legend tells how correlated they are."""
    ax = new_axes(ax)
    styles = _styles(fit)
    for name, each in fit.curves.items():
        residual = (each.measured - each.fitted) / max(each.rmse, 1e-300)
        label = f"{_label(name)}: neighbours {each.autocorrelation:.2f}"
        ax.plot(each.sequences / 1e6, residual, label=label, lw=1, **styles[name])
    ax.axhline(0, color="grey", lw=0.8)
    ax.set(xlabel=SEQUENCES, ylabel="residual (root mean squares)")
    ax.legend(frameon=False)
    return ax


def plot_autocorrelation(fit: Any, *, ax: "Axes | None" = None) -> "Axes":
    """Autocorrelation of every curve's residuals, by distance in samples."""
    ax = new_axes(ax)
    styles = _styles(fit)
    for name, each in fit.curves.items():
        shared = autocorrelations(each.measured - each.fitted)[: max(2, each.n // 2)]
        label = f"{_label(name)}: {each.n_effective:.0f} of {each.n} count"
        ax.plot(shared, label=label, lw=1, **styles[name])
    ax.axhline(0, color="grey", lw=0.8)
    ax.set(xlabel="distance (samples)", ylabel="autocorrelation of residuals")
    ax.legend(frameon=False)
    return ax


def plot_waterfall(fit: Any, *, ax: "Axes | None" = None) -> "Axes":
    """Misfit of refined starts, best first: a plateau at the left is one valley found often."""
    ax = new_axes(ax)
    ax.plot(range(1, len(fit.starts) + 1), fit.starts, "o-", color="black", ms=3)
    ax.set(xlabel="start, best first", ylabel="mean squared residual", yscale="log")
    return ax


def plot_forecast(forecast: Any, *, ax: "Axes | None" = None) -> "Axes":
    """Expected curves with bands of 9 in 10 draws, and events where they are expected."""
    ax = new_axes(ax)
    styles, x = line_styles(forecast.curves), forecast.sequences / 1e6
    for name, (best, low, high) in forecast.curves.items():
        ax.plot(x, best, label=label_of(name), **styles[name])
        ax.fill_between(x, low, high, color=styles[name]["color"], alpha=0.2, lw=0)
    known = forecast.known_until / 1e6
    ax.axvline(known, color="grey", lw=0.8, ls=":", label="known until there")
    for k, (name, each) in enumerate(forecast.events.items()):
        if each.value is not None:
            ax.axvline(each.value / 1e6, color="grey", lw=0.8)
            place = (each.value / 1e6, 1 - 0.2 * k)  # names of events at one time stand apart
            ax.annotate(name, place, xycoords=("data", "axes fraction"), fontsize="small",
                        rotation=90, va="top", ha="right")  # fmt: skip
    ax.set(xlabel=SEQUENCES, ylabel=forecast.metric.replace("_", " "))
    ax.legend(frameon=False)
    return ax


def plot_theories(comparison: Any, *, ax: "Axes | None" = None) -> "Axes":
    """BIC of theories above the lowest."""
    ax = new_axes(ax)
    rows = comparison.rows()
    above = [row["bic"] - rows[0]["bic"] for row in rows]
    ax.barh([row["name"] for row in rows], above, color="grey")
    ax.invert_yaxis()
    ax.set(xlabel="BIC above the lowest")
    return ax


LEVELS = (0.25, 1, 4, 16)  # of the threshold
LOG_FROM = 10.0  # ratio of the ends of an axis from which it is logarithmic


def plot_profile(profile: Any, *, ax: "Axes | None" = None) -> "Axes":
    """The rise along a parameter and the threshold of 9 in 10; hollow: another is at a limit."""
    ax = new_axes(ax)
    ax.plot(profile.values, profile.rise, "o-", color="black", ms=3)
    limited = np.array(profile.statuses) == "at limit"
    ax.plot(profile.values[limited], profile.rise[limited], "o", mfc="white", color="black", ms=6,
            label="another parameter at its limit")  # fmt: skip
    ax.axhline(profile.threshold, color="grey", ls=":", label="9 in 10")
    ax.set(
        xlabel=profile.parameter,
        ylabel="rise of the misfit",
        ylim=(0, 3 * profile.threshold),
        xscale=_scale(profile.values),
    )
    ax.legend(frameon=False)
    return ax


def plot_contour(contour: Any, *, ax: "Axes | None" = None) -> "Axes":
    """Lines of equal rise, the thick one of 9 in 10; crosses where another is at a limit."""
    ax = new_axes(ax)
    (first, x), (second, y) = contour.values.items()
    levels = [level * contour.threshold for level in LEVELS]
    widths = [2 if level == contour.threshold else 0.8 for level in levels]
    ax.contour(x, y, contour.rise.T, levels, colors="black", linewidths=widths)
    rows, columns = np.nonzero(contour.at_limit)
    ax.plot(x[rows], y[columns], "x", color="grey", ms=3)
    ax.set(xlabel=first, ylabel=second, xscale=_scale(x), yscale=_scale(y))
    return ax


def _scale(values: Any) -> str:
    return "log" if values.min() > 0 and values.max() / values.min() > LOG_FROM else "linear"
