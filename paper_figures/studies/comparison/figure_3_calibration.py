"""Calibration on simulated curves: ranks of true values among posterior draws, with bands."""

import math
from collections.abc import Iterator

import numpy as np

from coopetition.plot.style import FURTHER
from coopetition.tools.files import markdown_table
from paper_figures.core.figure import Figure, FigureResult, Numbers, blank
from paper_figures.core.kept_data import DATA, Rows, read_rows

FOLDER = DATA / "comparison" / "recovery"
RANK = "rank_"  # at the start of a column's name


def ranks() -> dict[str, dict[str, list[float]]]:
    """Return the ranks, from 0 to 1, of true values among posterior draws, by theory and quantity.

    `python -m tests.benchmarks.recovery --folder FOLDER` writes them, with a row for each problem.
    """
    found: dict[str, dict[str, list[float]]] = {}
    for kind, theory, rows in _tables():
        for row in rows:
            for name in (name for name in row if name.startswith(RANK)):
                quantity = name.removeprefix(RANK) + (", forecast" if kind == "forecasts" else "")
                own = found.setdefault(theory, {}).setdefault(quantity, [])
                own.append(float(row[name]))
    return found


def _tables() -> Iterator[tuple[str, str, Rows]]:
    """Yield kind (`parameters` or `forecasts`), theory and rows of each kept table."""
    for path in sorted(FOLDER.glob("*.csv")):
        kind, _, theory = path.stem.partition("_")
        yield kind, theory, read_rows(path, needed="converged")


def coverage_table() -> str:
    """Return the share of true values that 90 % intervals hold, by theory, in Markdown."""
    heads = ["theory", "true values of", "problems", "coverage", "converged", "coverage of these"]
    lines = []
    for kind, theory, rows in _tables():
        quantity = "ICL's last value" if kind == "forecasts" else "parameters"
        line = [f"`{theory}`", quantity]
        for own in (rows, converged_rows(rows)):
            line += [str(len(own)), f"{coverage(own):.2f}" if own else "-"]
        lines.append(line)
    return markdown_table(heads, lines)


def converged_rows(rows: Rows) -> Rows:
    """Return the rows of posteriors that converged."""
    return [row for row in rows if row["converged"] == "True"]


def coverage(rows: Rows) -> float:
    """Return the share of ranks between the ends of 90 % intervals; NaN without rows."""
    from coopetition.fitting.result import ENDS

    ranks = [float(row[name]) for row in rows for name in row if name.startswith(RANK)]
    held = [ENDS[0] <= rank <= ENDS[1] for rank in ranks]
    return float(np.mean(held)) if held else math.nan


def draw() -> FigureResult:
    """Draw a panel per theory: ECDF of ranks minus the uniform one, with its simultaneous band."""
    from coopetition.fitting.scores import BAND_LEVEL, ecdf, ecdf_band, is_calibrated

    by_theory = ranks()
    drawing = blank(2.4 * len(by_theory), 2.8)
    axes = drawing.subplots(1, len(by_theory), sharey=True, squeeze=False)[0]
    numbers: Numbers = []
    findings = []
    for ax, (theory, own) in zip(axes, by_theory.items(), strict=True):
        points, low, high = ecdf_band(min(map(len, own.values())))
        ax.fill_between(points, low - points, high - points, color="grey", alpha=0.25, lw=0)
        ends = {"band, low": low, "band, high": high}
        for k, (name, values) in enumerate(own.items()):
            ends[name] = ecdf(values, points)
            colour = FURTHER[k % len(FURTHER)]
            ax.plot(points, ends[name] - points, lw=1, color=colour, label=name)
            inside = "inside" if is_calibrated(values) else "outside"
            findings.append(f"{theory}, {name}: {inside} the band of {len(values)} ranks")
        for name, share in ends.items():
            pairs = zip(points.tolist(), (share - points).tolist(), strict=True)
            numbers += [(theory, name, x, y) for x, y in pairs]
        ax.axhline(0, color="grey", lw=0.8)
        ax.set(title=theory, xlabel="rank of the true value")
        ax.legend(frameon=False, fontsize="x-small")
    axes[0].set(ylabel="ECDF minus uniform")
    return FigureResult(drawing, numbers, {"band_level": BAND_LEVEL}, findings)


FIGURE = Figure(__name__, "ranks of true values among posterior draws, on simulated curves", draw)
