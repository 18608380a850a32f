"""A pre-registered test of mu1: ICL should fade sooner with more variation within classes."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from paper_figures.core.figure import Figure, FigureResult, Numbers, blank
from paper_figures.core.kept_data import read_json
from paper_figures.core.plotting import MILLION, shared_legend
from paper_figures.core.runs import FigureRun, Runs, by_number
from paper_figures.studies.within_class.levels import (
    BASE,
    PATH,
    fit_runs,
    floor_of,
    measured_gap,
    range_of,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

P_VALUE = 0.05  # of a rank correlation at least as high without any trend, one-sided
OURS = "#0072B2"

ByLevel = Mapping[float, Sequence[float | None]]


def draw(mains: list[FigureRun], alone: list[FigureRun]) -> FigureResult:
    """Draw ICL's error alone, mu1, and the time from peak to crossing, by level."""
    predicted = read_json(PATH)["levels"]
    floors = {level: [*map(floor_of, runs)] for level, runs in by_number(alone).items()}
    gaps = {level: [*map(measured_gap, runs)] for level, runs in by_number(mains).items()}
    fits = {level: fit_runs(runs) for level, runs in by_number(mains).items()}
    estimates = {level: [each.parameters["mu1"] for each in own] for level, own in fits.items()}
    mu1 = {level: [each.value for each in own] for level, own in estimates.items()}
    drawing = blank(7.2, 2.6)
    left, middle, right = drawing.subplots(1, 3)
    left.set(ylabel="ICL-only loss (nats)", title="a  ICL's error alone", yscale="log")
    numbers = _draw_measured(left, "a", floors)
    middle.set(ylabel="$\\mu_1$", title="b  fitted to accuracies", yscale="log")
    numbers += _draw_measured(middle, "b", mu1)
    for level, own in estimates.items():
        for each in own:
            middle.plot([level, level], [each.low, each.high], color=OURS, lw=1, alpha=0.5)
            numbers += [("b", "low", level, each.low), ("b", "high", level, each.high)]
    numbers += _draw_predicted(middle, "b", predicted, "mu1")
    right.set(ylabel="peak to crossing (M sequences)", title="c  time")
    numbers += _draw_measured(right, "c", gaps, MILLION)
    numbers += _draw_predicted(right, "c", predicted, "peak_to_crossing", MILLION)
    shared_legend(drawing)
    found = judge_predictions(floors, mu1, gaps, predicted)
    return FigureResult(drawing, numbers, {"verdicts": found}, [*map(_finding, found)])


def _draw_measured(ax: "Axes", panel: str, measured: ByLevel, unit: float = 1.0) -> Numbers:
    """Draw a dot per run; none for an event that is not within the run."""
    pairs = [
        (level, value / unit)
        for level, own in measured.items()
        for value in own
        if value is not None
    ]
    ax.plot([x for x, _ in pairs], [y for _, y in pairs], "o", color=OURS, ms=4, label="a run")
    ax.set(xlabel="deviation within a class")
    return [(panel, "measured", *pair) for pair in pairs]


def _draw_predicted(
    ax: "Axes", panel: str, predicted: Mapping[str, Any], name: str, unit: float = 1.0
) -> Numbers:
    """Draw the prediction of each level: the median over seeds, the lowest and the highest."""
    numbers: Numbers = []
    for end, marker in (("low", "2"), ("median", "_"), ("high", "1")):
        values = {float(level): each[name][end] for level, each in predicted.items()}
        pairs = [(level, value / unit) for level, value in values.items() if value is not None]
        numbers += [(panel, f"predicted {end}", *pair) for pair in pairs]
        x, y = [level for level, _ in pairs], [value for _, value in pairs]
        ax.plot(x, y, ls="", marker=marker, color="black", ms=8, label=f"predicted {end}")
    return numbers


def judge_predictions(
    floors: ByLevel, mu1: ByLevel, gaps: ByLevel, predicted: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Judge the predictions.

    A trend holds if its rank correlation over runs has a p-value below 5 %; a run without a
    crossing counts as the longest.  A prediction at a level holds if the median of what is measured
    lies within the range predicted from several seeds.
    """
    found = [
        _trend("ICL's error alone grows", floors, sign=1),
        _trend("mu1 grows", mu1, sign=1),
        _trend("time from peak to crossing falls", gaps, sign=-1),
    ]
    for level in mu1:
        for name, measured in (("mu1", mu1), ("peak_to_crossing", gaps)) if level != BASE else ():
            expected, median = predicted[f"{level}"][name], range_of(measured[level]).median
            low, middle, high = map(_or_infinite, (expected["low"], median, expected["high"]))
            found.append(
                {
                    "claim": f"{name} at {level}",
                    "holds": low <= middle <= high,
                    "measured": median,
                    "low": expected["low"],
                    "high": expected["high"],
                }
            )
    return found


def _or_infinite(value: float | None) -> float:
    return np.inf if value is None else value


def _trend(claim: str, by_level: ByLevel, sign: int) -> dict[str, Any]:
    from scipy.stats import spearmanr

    x, y = np.array([(level, _or_infinite(v)) for level, own in by_level.items() for v in own]).T
    result = spearmanr(x, y, alternative="greater" if sign > 0 else "less")
    rank, chance = map(float, (result.statistic, result.pvalue))  # pyright: ignore
    return {"claim": claim, "holds": chance < P_VALUE, "rank": rank, "chance": chance}


def _finding(found: dict[str, Any]) -> str:
    holds = "holds" if found["holds"] else "does not hold"
    if "rank" in found:
        return f"{found['claim']}: {holds} (rank {found['rank']:+.2f}, p {found['chance']:.2g})"
    measured, low, high = (
        "beyond the run" if found[name] is None else f"{found[name]:.3g}"
        for name in ("measured", "low", "high")
    )
    return f"{found['claim']}: {holds} (median {measured}, predicted {low} to {high})"


FIGURE = Figure(
    __name__,
    "a pre-registered test of mu1 by variation within classes",
    draw,
    (Runs("within_class/main_*"), Runs("within_class/icl_only_*")),
)
