"""Plots of measured curves, fitted theories, profiles and forecasts."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from coopetition.plot.style import DASHES, label_of, line_styles, new_axes
from coopetition.tools.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


SEQUENCES = "sequences seen (millions)"
EVENT_DASHES = ("-", "--", "-.")  # of the lines of a forecast's events
LOG_FROM = 10.0  # ratio of the ends of an axis from which it is logarithmic


def plot_curves(curves: Any, *, ax: "Axes | None" = None, **style: Any) -> "Axes":
    """Draw measured curves against sequences seen, in millions."""
    ax = new_axes(ax)
    styles = line_styles(curves.values)
    for name, values in curves.values.items():
        ax.plot(curves.sequences / 1e6, values, label=label_of(name), **styles[name] | style)
    ax.set(xlabel=SEQUENCES)
    return ax


def plot_measured(curves: Any, *, ax: "Axes | None" = None) -> "Axes":
    """Draw all measured curves of a run, or of several runs by name, with a legend and the metric.

    Colours are those of curves, dashes those of runs; more runs than there are dashes have thin
    lines.  Gaps are bridged, so that a curve with few samples is visible.
    """
    ax = new_axes(ax)
    runs = curves if isinstance(curves, Mapping) else {"": curves}
    own: dict[str, Any] = {run: {"ls": dash} for run, dash in zip(runs, DASHES, strict=False)}
    if len(runs) > len(DASHES):
        own = {run: {"ls": "-", "lw": 0.8, "alpha": 0.6} for run in runs}
    names = dict.fromkeys(name for each in runs.values() for name in each.values)
    for name, style in line_styles(names).items():
        label = label_of(name)
        for run, each in runs.items():
            if name in each.values:
                known = np.isfinite(each.values[name])
                x, y = each.sequences[known] / 1e6, each.values[name][known]
                shown = {"color": style["color"]} | own[run] if len(runs) > 1 else style
                ax.plot(x, y, label=label, **shown)
                label = None
    if 1 < len(runs) <= len(DASHES):
        for run, style in own.items():
            ax.plot([], [], color="grey", label=run, **style)
    ax.set(xlabel=SEQUENCES, ylabel=name_metrics(runs.values()))
    ax.legend(frameon=False, title=f"{len(runs)} runs" if len(runs) > len(DASHES) else None)
    return ax


def name_metrics(runs: Iterable[Any]) -> str:
    """Return the metrics of the curves of runs, each once: "loss and accuracy"."""
    return " and ".join(dict.fromkeys(run.metric.replace("_", " ") for run in runs))


def plot_fit(fit: Any, *, ax: "Axes | None" = None) -> "Axes":
    """Draw measured curves (points) and the fitted theory (lines)."""
    ax = new_axes(ax)
    styles = _styles(fit)
    for name, each in fit.curves.items():
        style, x = styles[name], each.sequences / 1e6
        ax.plot(x, each.measured, ".", ms=3, alpha=0.5, color=style["color"])
        label = f"{_label(name)}: $R^2$ = {each.r2:.3f}"
        ax.plot(x, each.fitted, label=label, **style)
    ax.set(xlabel=SEQUENCES, ylabel=name_metrics(fit.problem.runs))
    ax.legend(frameon=False)
    return ax


def _styles(fit: Any) -> dict[str, dict[str, Any]]:
    """Return the styles of a fit's curves: colours by strategy, dashes by run."""
    parts = {name: name.rpartition("/") for name in fit.curves}
    runs = [*dict.fromkeys(run for run, _, _ in parts.values())]
    by_strategy = line_styles(curve for _, _, curve in parts.values())
    return {
        name: by_strategy[curve] | {"linestyle": DASHES[runs.index(run) % len(DASHES)]}
        for name, (run, _, curve) in parts.items()
    }


def _label(name: str) -> str:
    run, _, curve = name.rpartition("/")
    return f"{label_of(curve)}, {run}" if run else label_of(curve)


def plot_residuals(fit: Any, *, ax: "Axes | None" = None) -> "Axes":
    """Draw measured minus fitted values, in root mean squares, and their correlation."""
    ax = new_axes(ax)
    styles = _styles(fit)
    for name, each in fit.curves.items():
        residual = (each.measured - each.fitted) / max(each.rmse, 1e-300)
        label = f"{_label(name)}: correlation {each.rho:.2f}"
        ax.plot(each.sequences / 1e6, residual, label=label, lw=1, **styles[name])
    ax.axhline(0, color="grey", lw=0.8)
    ax.set(xlabel=SEQUENCES, ylabel="residual (root mean squares)")
    ax.legend(frameon=False)
    return ax


def plot_autocorrelation(fit: Any, *, ax: "Axes | None" = None) -> "Axes":
    """Draw the autocorrelation of every curve's residuals, by distance in samples."""
    from coopetition.fitting.noise import autocorrelations

    ax = new_axes(ax)
    styles = _styles(fit)
    for name, each in fit.curves.items():
        values = autocorrelations(each.measured - each.fitted)[: max(2, each.n // 2)]
        label = f"{_label(name)}: {each.n} samples, effective {each.n_effective:.0f}"
        ax.plot(values, label=label, lw=1, **styles[name])
    ax.axhline(0, color="grey", lw=0.8)
    ax.set(xlabel="distance (samples)", ylabel="autocorrelation of residuals")
    ax.legend(frameon=False)
    return ax


def plot_waterfall(fit: Any, *, ax: "Axes | None" = None) -> "Axes":
    """Draw the deviance of refined starts: a plateau at the left is one optimum found often."""
    ax = new_axes(ax)
    ax.plot(range(1, len(fit.starts) + 1), fit.starts, "o-", color="black", ms=3)
    ax.set(xlabel="start, best first", ylabel="deviance (-2 log likelihood)")
    return ax


PANEL = 1.7  # inches, of a corner plot
N_BINS = 24


def plot_corner(
    posterior: Any, names: Sequence[str] = (), *, figure: "Figure | None" = None
) -> "Figure":
    """Draw a posterior sample: a histogram of each number, and the pairs below the diagonal.

    names : columns of `Posterior.columns`; default: the free parameters
    figure : default: a new pyplot figure

    Axes of numbers that extend over more than a factor of ten are logarithmic.
    """
    columns = posterior.columns()
    names = list(names) or [free.name for free in posterior.fit.problem.free]
    if unknown := [name for name in names if name not in columns]:
        raise UsageError(f"no column {unknown[0]!r}; choose from {', '.join(columns)}")
    n = len(names)
    if figure is None:
        from matplotlib import pyplot

        figure = pyplot.figure(figsize=(PANEL * n + 0.6, PANEL * n + 0.4), layout="constrained")
    axes = figure.subplots(n, n, sharex="col", squeeze=False)
    for (row, column), ax in np.ndenumerate(axes):
        ax.set_visible(row >= column)
        x, y = columns[names[column]], columns[names[row]]
        if row == column:
            space = np.geomspace if _scale(x) == "log" else np.linspace
            ax.hist(x, space(x.min(), x.max(), N_BINS) if np.ptp(x) else N_BINS, color="grey")
            ax.set(xscale=_scale(x), yticks=[])
        elif row > column:
            ax.plot(x, y, ".", color="black", ms=2, alpha=0.3, mew=0, rasterized=True)
            ax.set(xscale=_scale(x), yscale=_scale(y))
            ax.tick_params(labelleft=column == 0)
            _thin_ticks(ax, "y")
        _thin_ticks(ax, "x")
        if row == n - 1:
            ax.set_xlabel(names[column])
        if column == 0 < row:
            ax.set_ylabel(names[row])
    return figure


def _thin_ticks(ax: "Axes", name: Literal["x", "y"]) -> None:
    """Leave three ticks on a linear axis."""
    if (ax.get_xscale() if name == "x" else ax.get_yscale()) == "linear":
        ax.locator_params(name, nbins=3)
        ax.ticklabel_format(axis=name, scilimits=(-3, 4))


def plot_forecast(forecast: Any, *, ax: "Axes | None" = None) -> "Axes":
    """Draw forecast curves with bands of 90 %, and events at their expected times.

    Events with the same time share a line, which names them all.
    """
    ax = new_axes(ax)
    styles, x = line_styles(forecast.curves), forecast.sequences / 1e6
    for name, (best, low, high) in forecast.curves.items():
        ax.plot(x, best, label=label_of(name), **styles[name])
        ax.fill_between(x, low, high, color=styles[name]["color"], alpha=0.2, lw=0)
    known = forecast.known_until / 1e6
    ax.axvline(known, color="grey", lw=0.8, ls=":", label="end of the known part")
    names: dict[float, list[str]] = {}  # of events, by time
    for name, each in forecast.events.items():
        if each.value is not None:
            names.setdefault(each.value, []).append(name)
    for (time, own), dash in zip(names.items(), EVENT_DASHES, strict=False):
        label = f"{', '.join(own)}: {time / 1e6:.3g} M"
        ax.axvline(time / 1e6, color="grey", lw=0.8, ls=dash, label=label)
    ax.set(xlabel=SEQUENCES, ylabel=forecast.metric.replace("_", " "))
    ax.legend(frameon=False)
    return ax


def plot_theories(comparison: Any, *, ax: "Axes | None" = None) -> "Axes":
    """Draw how far theories are behind the best, by BIC, or by evidence if there are posteriors."""
    ax = new_axes(ax)
    rows = comparison.rows()
    name, label = "bic", "BIC above the lowest"
    if comparison.posteriors:
        name, label = "log_evidence", "log evidence below the highest"
    behind = [abs(row[name] - rows[0][name]) for row in rows]
    ax.barh([row["name"] for row in rows], behind, color="grey")
    ax.invert_yaxis()
    ax.set(xlabel=label)
    return ax


def plot_profile(profile: Any, *, ax: "Axes | None" = None) -> "Axes":
    """Draw the rise of the deviance along a parameter, and the threshold.

    Hollow points: another parameter is at an end of its range.
    """
    from coopetition.fitting.identifiability import AT_LIMIT

    ax = new_axes(ax)
    ax.plot(profile.values, profile.rise, "o-", color="black", ms=3)
    limited = np.array(profile.statuses) == AT_LIMIT
    ax.plot(profile.values[limited], profile.rise[limited], "o", mfc="white", color="black", ms=6,
            label="another parameter at an end of its range")  # fmt: skip
    ax.axhline(profile.threshold, color="grey", ls=":", label="90 % interval")
    ax.set(
        xlabel=profile.parameter,
        ylabel="rise of the deviance",
        ylim=(0, 3 * profile.threshold),
        xscale=_scale(profile.values),
    )
    ax.legend(frameon=False)
    return ax


def _scale(values: Any) -> str:
    return "log" if values.min() > 0 and values.max() / values.min() > LOG_FROM else "linear"
