"""The square-root scaling rule: one number, rate / sqrt(batch), is left of rate and batch size.

Adam divides each gradient by the root of its mean square.  Where noise is most of a gradient, with
deviation sigma for one sequence, a step moves a weight by about

    rate (sqrt(batch) mean / sigma + xi),        xi of variance 1,

so in the clock r sqrt(b) x steps, with r and b the rate and the batch size over those of the base
run, the drift is the same at all settings, and the variance of the random walk is proportional to
the noise level q = r / sqrt(b) (Malladi et al. 2022, arXiv 2205.10287).  Runs of one noise level
then have the same curves in this clock: exponents obey a + 2b = 2.
"""

import math
from collections.abc import Iterable, Sequence
from statistics import median

from coopetition.tools.files import markdown_table
from paper_figures.core.runs import FigureRun
from paper_figures.studies.clocks.exponents import (
    EVENTS,
    OF_ICL,
    Cell,
    cells_of,
    fit_exponents,
    observe,
    over_base,
)
from paper_figures.studies.clocks.predictions import Find, find_runs

CLOCK, NOISE = (1.0, 0.5), (1.0, -0.5)  # exponents of rate and batch size


def clock_of(cell: Cell) -> float:
    """Return by how much a step advances the clock r sqrt(b), in steps of the base run."""
    return over_base(cell, CLOCK)


def noise_level(cell: Cell) -> float:
    """Return the noise level r / sqrt(b) of a cell, rounded: 1 for the base run."""
    return round(over_base(cell, NOISE), 6)


def median_steps(runs: Sequence[FigureRun], event: str) -> float:
    """Return the median of the steps to an event; a run without it counts as infinitely late."""
    times = [math.inf if each.is_censored else each.steps for each in observe(runs, event)]
    return median(times + [math.inf] * (len(runs) - len(times)))


def equal_noise_table(find: Find = find_runs) -> str:
    """Return the times of events in the clock r sqrt(b) for each noise level, in Markdown."""
    runs = find("grid_*")
    by_level: dict[float, list[Cell]] = {}
    cells = cells_of(runs)
    for cell in cells:
        by_level.setdefault(noise_level(cell), []).append(cell)
    rows = []
    for level, own in sorted(by_level.items()):
        times = (" / ".join(_time(cells[cell], cell, event) for cell in own) for event in EVENTS)
        names = " / ".join(f"{rate:g}, {batch}" for rate, batch in own)
        rows.append([f"{level:.3g}", names, *times])
    ratios = (_ratios_text(equal_noise_ratios(runs, event)) for event in EVENTS)
    rows.append(["", "**larger / smaller batch**", *ratios])
    fitted = (fit_exponents(observe(runs, event)) for event in EVENTS)
    measured = ("-" if each is None else str(each.combination(1, 2)) for each in fitted)
    rows.append(["", "**a + 2b**", *measured])
    return markdown_table(["q", "rate, batch", *EVENTS], rows)


def equal_noise_ratios(runs: Sequence[FigureRun], event: str) -> list[float]:
    """Return the time in the largest batch over that in the smallest, by noise level and seed.

    Only seeds that have the event in both are compared.
    """
    times: dict[tuple[float, int], dict[int, float]] = {}
    for each in observe(runs, event):
        if not each.is_censored:
            key = noise_level(each.cell), each.seed
            times.setdefault(key, {})[each.batch] = each.steps * clock_of(each.cell)
    return [own[max(own)] / own[min(own)] for own in times.values() if len(own) > 1]


def _ratios_text(ratios: Sequence[float]) -> str:
    if not ratios:
        return "-"
    return f"{median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}, n = {len(ratios)})"


def _time(runs: list[FigureRun], cell: Cell, event: str) -> str:
    """Return an event's time in the clock, or that most runs do not have it."""
    time = median_steps(runs, event) * clock_of(cell)
    if math.isfinite(time):
        return f"{time:,.0f}"
    return "absent" if event in OF_ICL else f"> {last_step(runs) * clock_of(cell):,.0f}"


def last_step(runs: Iterable[FigureRun]) -> int:
    """Return the last step of the longest run."""
    return max(run.provenance["step"] for run in runs)
