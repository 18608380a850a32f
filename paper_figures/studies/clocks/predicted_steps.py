"""Steps to events that were predicted before the runs, and their verdicts.

`scaling.toml` predicts cells of the grid by the square-root scaling rule.  `signal_to_noise.toml`
predicts arms in which the noise level changes at Flip's peak, by the law of that name.  Both were
committed before the runs that they predict, except those that the latter names.  `large_batch` has
predictions for another task.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from coopetition.tools.errors import UsageError
from coopetition.tools.files import markdown_table
from paper_figures.core.runs import FigureRun
from paper_figures.studies.clocks.exponents import EVENTS
from paper_figures.studies.clocks.predictions import (
    Find,
    PredictionVerdict,
    find_runs,
    read_predictions,
)
from paper_figures.studies.clocks.scaling import last_step, median_steps
from transformer.experiments.clocks import SEEDS, grid_name

FOLDER = Path(__file__).parent
CELLS, ARMS = FOLDER / "scaling.toml", FOLDER / "signal_to_noise.toml"
SETTINGS = ("clock", "arm", "rate", "batch")  # what a prediction is of; the rest are its events
FACTOR = 1.4  # within which a prediction holds


def steps_table(
    path: Path,
    find: Find = find_runs,
    median_of: Callable[..., float] = median_steps,
    known_events: Sequence[str] = EVENTS,
) -> str:
    """Return predicted and measured steps, with verdicts, in Markdown.

    median_of : (runs, event=name) -> median of the steps over runs
    known_events : events that the file may predict; it must predict the same ones in all rows
    """
    predicted = read_predictions(path)["predicted"]
    events = [event for event in known_events if event in predicted[0]]
    for each in predicted:
        if (names := {*each} - {*SETTINGS}) != {*events}:
            raise UsageError(
                f"{path.name}: a row predicts {', '.join(sorted(names))}; "
                f"expected the same events in all rows, of {', '.join(known_events)}"
            )
    rows = []
    for each in predicted:
        cell = each["rate"], each["batch"]
        name = each.get("arm", grid_name(*cell))
        runs = find(name)
        texts = (
            _verdict_text(runs, partial(median_of, event=event), each[event]) for event in events
        )
        own = [each["clock"]] if "clock" in each else []
        rows.append([*own, f"`{name}`", f"{cell[0]:g}", f"{cell[1]}", *texts])
    first = ["clock"] if "clock" in predicted[0] else []
    return markdown_table([*first, "runs", "rate", "batch", *events], rows)


def count_seeds(runs: Sequence[FigureRun]) -> int:
    """Return the number of different seeds of runs."""
    return len({run.init_seed for run in runs})


def _verdict_text(
    runs: list[FigureRun], median_of: Callable[[list[FigureRun]], float], expected: float
) -> str:
    if (n := count_seeds(runs)) < len(SEEDS):
        return f"{expected:,}: {n} of {len(SEEDS)} seeds measured"
    measured, end = median_of(runs), last_step(runs)
    found = f"{measured:,.0f}" if math.isfinite(measured) else f"not within {end:,}"
    return f"{expected:,}, {found}: {judge_steps(measured, expected, end)}"


def judge_steps(measured: float, expected: float, end: float) -> PredictionVerdict:
    """Return the verdict on predicted steps in runs of some length.

    A prediction after their end is contradicted by an event within it, and undecided without one.
    """
    if expected > end:
        return "contradicted" if measured <= end else "undecided"
    return "holds" if expected / FACTOR <= measured <= expected * FACTOR else "contradicted"
