"""The toy's bet: with more variation within classes mu1 grows, and ICL gives way sooner."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from scipy.stats import spearmanr

from coopetition.compare.result import Estimate
from coopetition.tools.console import ProgressReport
from paper_figures.core.figure import Figure, FigureResult, Numbers, blank
from paper_figures.core.kept_data import read_json
from paper_figures.core.plotting import legend_of_all
from paper_figures.core.runs import FigureRun, Runs
from paper_figures.within_class.predictions import (
    BASE,
    LEVELS,
    PATH,
    fit_run,
    floor_of,
    measured_gap,
    range_of,
)

CHANCE = 0.05  # of a rank correlation at least as high without any trend, one-sided
MILLION = 1e6
OURS = "#0072B2"


def draw(*runs: list[FigureRun]) -> FigureResult:
    """ICL's error where it is alone, mu1, and the time from peak to crossing, by level."""
    said = read_json(PATH)["levels"]
    mains = dict(zip(LEVELS, runs[: len(LEVELS)], strict=True))
    alone = dict(zip(LEVELS, runs[len(LEVELS) :], strict=True))
    floors = {level: [floor_of(run) for run in own] for level, own in alone.items()}
    mu1 = fitted_mu1(mains)
    gaps = {level: [measured_gap(run) for run in own] for level, own in mains.items()}
    drawing = blank(7.2, 2.6)
    left, middle, right = drawing.subplots(1, 3)
    left.set(ylabel="ICL-only loss (nats)", title="a  ICL's error alone", yscale="log")
    numbers = draw_measured(left, "a", floors)
    middle.set(ylabel="$\\mu_1$", title="b  fitted to accuracies", yscale="log")
    numbers += draw_measured(middle, "b", values_of(mu1)) + draw_intervals(middle, mu1)
    numbers += draw_predicted(middle, "b", said, "mu1")
    right.set(ylabel="peak to crossing (M sequences)", title="c  time")
    numbers += draw_measured(right, "c", gaps, MILLION)
    numbers += draw_predicted(right, "c", said, "peak_to_crossing", MILLION)
    legend_of_all(drawing)
    found = verdicts(floors, mu1, gaps, said)
    return FigureResult(drawing, numbers, {"verdicts": found}, [_sentence(each) for each in found])


def draw_measured(
    ax: Axes, panel: str, measured: Mapping[float, Sequence[float | None]], unit: float = 1.0
) -> Numbers:
    """A dot a run; none where there is nothing within the run."""
    pairs = [
        (level, value / unit)
        for level, own in measured.items()
        for value in own
        if value is not None
    ]
    x, y = [level for level, _ in pairs], [value for _, value in pairs]
    ax.plot(x, y, "o", color=OURS, ms=4, label="a run")
    ax.set(xlabel="deviation within a class")
    return [(panel, "measured", level, value) for level, value in pairs]


def draw_intervals(ax: Axes, fitted: Mapping[float, Sequence[Estimate]]) -> Numbers:
    """A line a fit, over its interval."""
    numbers: Numbers = []
    for level, own in fitted.items():
        for each in own:
            ax.plot([level, level], [each.low, each.high], color=OURS, lw=1, alpha=0.5)
            numbers += [("b", "low", level, each.low), ("b", "high", level, each.high)]
    return numbers


def draw_predicted(
    ax: Axes, panel: str, said: Mapping[str, Any], name: str, unit: float = 1.0
) -> Numbers:
    """What was predicted of each level: the median over seeds, the lowest and the highest."""
    numbers: Numbers = []
    for end, marker in (("low", "2"), ("median", "_"), ("high", "1")):
        ends = {level: said[f"{level}"][name][end] for level in LEVELS}
        pairs = [(level, value / unit) for level, value in ends.items() if value is not None]
        numbers += [(panel, f"predicted {end}", *pair) for pair in pairs]
        x, y = [level for level, _ in pairs], [value for _, value in pairs]
        ax.plot(x, y, ls="", marker=marker, color="black", ms=8, label=f"predicted {end}")
    return numbers


def values_of(fitted: Mapping[float, Sequence[Estimate]]) -> dict[float, list[float]]:
    """The values of fits, without intervals."""
    return {level: [each.value for each in own] for level, own in fitted.items()}


def fitted_mu1(mains: dict[float, list[FigureRun]]) -> dict[float, list[Estimate]]:
    """Of every level, a run each."""
    found: dict[float, list[Estimate]] = {}
    with ProgressReport("fit", sum(map(len, mains.values())), "runs") as report:
        for level, own in mains.items():
            found[level] = []
            for run in own:
                found[level].append(fit_run(run).parameters["mu1"])
                report.advance()
    return found


def verdicts(
    floors: dict[float, list[float]],
    mu1: dict[float, list[Estimate]],
    gaps: dict[float, list[float | None]],
    said: dict[str, Any],
) -> list[dict[str, Any]]:
    """What became of each claim.

    A trend holds if its rank correlation over runs has a chance below 5 %; a run in which CIWL
    never errs less than ICL counts as the longest.  A prediction holds at a level if the median of
    what is measured lies in what is predicted from one seed or another.
    """
    late = {level: [np.inf if g is None else g for g in own] for level, own in gaps.items()}
    values = values_of(mu1)
    found = [
        _trend("ICL's error alone grows", floors, sign=1),
        _trend("mu1 grows", values, sign=1),
        _trend("time from peak to crossing falls", late, sign=-1),
    ]
    for level in LEVELS:
        if level == BASE:
            continue
        for name, measured in (("mu1", values), ("peak_to_crossing", gaps)):
            told, median = said[f"{level}"][name], range_of([*measured[level]]).median
            ends = (told["low"], median, told["high"])
            low, middle, high = (np.inf if end is None else end for end in ends)
            found.append(
                {
                    "claim": f"{name} at {level}",
                    "holds": bool(low <= middle <= high),
                    "measured": median,
                    "low": told["low"],
                    "high": told["high"],
                }
            )
    return found


def _trend(claim: str, by_level: Mapping[float, Sequence[float]], sign: int) -> dict[str, Any]:
    pairs = [(level, value) for level, own in by_level.items() for value in own]
    x, y = np.array(pairs).T
    found = spearmanr(x, y, alternative="greater" if sign > 0 else "less")
    rank, chance = map(float, (found.statistic, found.pvalue))  # pyright: ignore
    return {"claim": claim, "holds": chance < CHANCE, "rank": rank, "chance": chance}


def _sentence(found: dict[str, Any]) -> str:
    holds = "holds" if found["holds"] else "does not hold"
    if "rank" in found:
        return f"{found['claim']}: {holds} (rank {found['rank']:+.2f}, p {found['chance']:.2g})"
    measured, low, high = (_text(found[name]) for name in ("measured", "low", "high"))
    return f"{found['claim']}: {holds} (median {measured}, predicted {low} to {high})"


def _text(value: float | None) -> str:
    return "beyond the run" if value is None else f"{value:.3g}"


FIGURE = Figure(
    "within_class",
    "1",
    "1",
    "the toy's bet on variation within classes",
    draw,
    needs=tuple(
        Runs(f"within_class/{mode}_{level}") for mode in ("main", "icl_only") for level in LEVELS
    ),
)
