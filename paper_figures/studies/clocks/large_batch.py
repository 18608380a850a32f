"""Events of ICL in the transience task with four times the batch, predicted from the default run.

The default run has the rate and batch size of the grid's base run, so its steps are the clock tau
of `laws`.  An event there at t gives A by t^2 = A^2 + B^2 t, if B^2 / A^2 is that of the
corresponding event in the grid; then the law gives the time at another noise level.

`large_batch.toml` has the predictions of this law and of clocks without noise.  It was committed
before the runs with the larger batch were trained.
"""

import math
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import median

from paper_figures.core.runs import FigureRun
from paper_figures.studies.clocks.exponents import CLOCKS, batch_of, observe, over_base
from paper_figures.studies.clocks.laws import SIGNAL_TO_NOISE, fit_law, time_at_level
from paper_figures.studies.clocks.predicted_steps import FOLDER, steps_table
from paper_figures.studies.clocks.predictions import find_runs
from paper_figures.studies.clocks.scaling import clock_of, noise_level
from paper_figures.transience.rules import icl_events
from transformer.experiments.clocks import BASE
from transformer.experiments.transience import BATCH_FACTOR

PATH: Path = FOLDER / "large_batch.toml"
CELL = BASE[0], BATCH_FACTOR * BASE[1]
IN_GRID: Mapping[str, str] = {"onset": "emergence", "peak": "peak", "half_decay": "fade"}
find = partial(find_runs, plan="transience")


def median_steps(runs: Sequence[FigureRun], event: str) -> float:
    """Return the median of the steps to an event of ICL; a run without it is infinitely late."""
    name = "peak_at" if event == "peak" else event
    times = ((getattr(icl_events(run), name), batch_of(run)) for run in runs)
    return median(math.inf if time is None else time / batch for time, batch in times)


def predicted_steps(
    default: Sequence[FigureRun], grid: Sequence[FigureRun]
) -> dict[str, dict[str, float]]:
    """Return the steps to each event by the law and by clocks without noise: clock -> event."""
    steps = {event: median_steps(default, event) for event in IN_GRID}
    found = {
        name: {event: time / over_base(CELL, own) for event, time in steps.items()}
        for name, own in CLOCKS.items()
    }
    found[SIGNAL_TO_NOISE.name] = {}
    for event, own in IN_GRID.items():
        a, b2 = fit_law(observe(grid, own), SIGNAL_TO_NOISE).times
        tau = time_at_level(steps[event], b2 / a**2, noise_level(CELL))
        found[SIGNAL_TO_NOISE.name][event] = tau / clock_of(CELL)
    return found


def table() -> str:
    """Return predicted and measured steps, with verdicts, in Markdown."""
    return steps_table(PATH, find, median_steps)
