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
from textwrap import fill

from paper_figures.core.runs import FigureRun
from paper_figures.studies.clocks.exponents import CLOCKS, observe, over_base
from paper_figures.studies.clocks.laws import SIGNAL_TO_NOISE, fit_law, time_at_level
from paper_figures.studies.clocks.predicted_steps import (
    FOLDER,
    count_seeds,
    judge_steps,
    steps_table,
)
from paper_figures.studies.clocks.predictions import find_runs, read_predictions
from paper_figures.studies.clocks.scaling import clock_of, last_step, noise_level
from paper_figures.transience.rules import icl_events
from transformer.experiments.clocks import BASE, SEEDS
from transformer.experiments.transience import BATCH_FACTOR

PATH: Path = FOLDER / "large_batch.toml"
ARM = "large_batch"
CELL = BASE[0], BATCH_FACTOR * BASE[1]
IN_GRID: Mapping[str, str] = {"onset": "emergence", "peak": "peak", "half_decay": "fade"}
TIED = SIGNAL_TO_NOISE.name, "sequences"  # both may hold; then the nearer onset decides
find_transience_runs = partial(find_runs, plan="transience")


def median_transience_steps(runs: Sequence[FigureRun], event: str) -> float:
    """Return the median of the steps to an event of ICL; a run without it is infinitely late."""
    name = "peak_at" if event == "peak" else event
    times = ((getattr(icl_events(run), name), run.batch_size) for run in runs)
    return median(math.inf if time is None else time / batch for time, batch in times)


def predicted_steps(
    default: Sequence[FigureRun], grid: Sequence[FigureRun]
) -> dict[str, dict[str, float]]:
    """Return the steps to each event by the law and by clocks without noise: clock -> event."""
    steps = {event: median_transience_steps(default, event) for event in IN_GRID}
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
    """Return predicted and measured steps with verdicts, and the tie-break, in Markdown."""
    steps = steps_table(PATH, find_transience_runs, median_transience_steps, tuple(IN_GRID))
    return f"{steps}\n\n{fill(tie_sentence(find_transience_runs(ARM)), 120)}"


def tie_sentence(runs: Sequence[FigureRun]) -> str:
    """Return what the tie-break of the rule says of runs, once all seeds are there."""
    if (n := count_seeds(runs)) < len(SEEDS):
        return f"{n} of {len(SEEDS)} seeds are measured, so the tie-break decides nothing yet."
    return break_tie(
        {event: median_transience_steps(runs, event) for event in IN_GRID}, last_step(runs)
    )


def break_tie(measured: Mapping[str, float], end: int) -> str:
    """Return which of the `TIED` clocks describes the runs better, if both hold at some event.

    measured : median steps to each event
    end : steps of the runs
    """
    rows = read_predictions(PATH)["predicted"]
    predicted = {each["clock"]: each for each in rows if each["clock"] in TIED}
    both = [
        event
        for event, steps in measured.items()
        if all(judge_steps(steps, each[event], end) == "holds" for each in predicted.values())
    ]
    first, second = TIED
    if not both:
        return f"*{first}* and *{second}* do not both hold at any event, so there is no tie."
    errors = {
        name: abs(math.log(measured["onset"] / each["onset"])) for name, each in predicted.items()
    }
    tie = f"Both *{first}* and *{second}* hold at {', '.join(both)}."
    if errors[first] == errors[second]:
        return f"{tie} Neither onset is nearer to the measured one."
    better, worse = sorted(TIED, key=errors.__getitem__)
    return (
        f"{tie} The onset of *{better}* is nearer to the measured one, by a factor of "
        f"{math.exp(errors[better]):.2f} against {math.exp(errors[worse]):.2f}, so *{better}* "
        "describes the runs better."
    )
