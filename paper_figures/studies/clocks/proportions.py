"""The proportions of events in the main run, which larger batches may restore at a higher rate.

At ten times the paper's rate, the late events of the main run come too late beside emergence.  By
the exponents of the grid a larger batch brings them nearer.  `proportions.toml` holds the rule and
the predictions, which were committed before the runs.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from coopetition.tools.files import markdown_table
from paper_figures.coopetition.paper_values import PAPER_RUNS
from paper_figures.core.runs import FigureRun, kept_runs
from paper_figures.studies.clocks.predictions import find_runs, read_predictions
from transformer.experiments.clocks import MAIN, MAIN_BATCH
from transformer.experiments.coopetition import BATCH_SIZE, DATA_SEED, SEEDS

PATH = Path(__file__).with_name("proportions.toml")
FACTOR = 1.3  # within which times and ratios agree
RATIOS = ("fade", "ciwl_90")  # over emergence
HEADS = ("runs", "emergence", "fade / emergence", "CIWL 0.9 / emergence")

Times = Mapping[str, float]


def proportions(run: Any) -> Times:
    """Return emergence, and the later events over it.

    They are infinite where the event, or emergence, is not in the run.

    run : has events as attributes, in any unit
    """
    times = {name: getattr(run, name) for name in ("emergence", *RATIOS)}
    if times["emergence"] is None:
        return dict.fromkeys(times, math.inf)
    late = {name: times[name] or math.inf for name in RATIOS}
    return {"emergence": times["emergence"]} | {
        name: time / times["emergence"] for name, time in late.items()
    }


def medians(runs: Iterable[Times]) -> Times:
    """Return the median of each time and ratio over runs."""
    runs = [*runs]
    return {name: median(run[name] for run in runs) for name in ("emergence", *RATIOS)}


def is_near(value: float, other: float) -> bool:
    """Return whether two positive numbers agree within `FACTOR`."""
    return other / FACTOR <= value <= other * FACTOR


def proportions_table(larger: Sequence[FigureRun] | None = None) -> str:
    """Return the proportions of the paper's runs and ours, and the verdicts, in Markdown.

    larger : the runs in larger batches (default: those that are kept)
    """
    slow = kept_runs("coopetition/main", scale="paper")
    fast = kept_runs("coopetition/main", scale="cpu")
    larger = find_runs(MAIN) if larger is None else larger
    groups = {
        f"the paper's, rate 1e-5, batch {BATCH_SIZE}": [
            proportions(PAPER_RUNS[seed, DATA_SEED]) for seed in SEEDS
        ],
        f"ours, rate 1e-5, batch {BATCH_SIZE}": _in_millions(slow),
        f"ours, rate 1e-4, batch {BATCH_SIZE}": _in_millions(fast),
        f"ours, rate 1e-4, batch {MAIN_BATCH}": _in_millions(larger),
    }
    rows = [[name, *_cells(own)] for name, own in groups.items()]
    expected = read_predictions(PATH)["predicted"]
    cells = (f"{expected[name]:.3g}" for name in ("emergence", *RATIOS))
    rows.append([f"predicted, rate 1e-4, batch {MAIN_BATCH}", *cells])
    table = markdown_table(HEADS, rows)
    if {run.init_seed for run in larger} != {*SEEDS}:
        return table
    found, wanted = medians(_in_millions(larger)), medians(_in_millions(slow))
    restored = all(is_near(found[name], wanted[name]) for name in RATIOS)
    lines = [f"- The setting {'has' if restored else 'does not have'} the paper's proportions."]
    for name, value in expected.items():
        verdict = "holds" if is_near(found[name], value) else "is contradicted"
        numbers = f"{found[name]:.3g} was measured, {value:.3g} predicted"
        lines.append(f"- The prediction for {name} {verdict}: {numbers}.")
    return "\n".join([table, "", *lines])


def _in_millions(runs: Iterable[FigureRun]) -> list[Times]:
    """Return the proportions of runs, with emergence in millions of their own sequences."""
    found = [proportions(run.timeline()) for run in runs]
    return [{**each, "emergence": each["emergence"] / 1e6} for each in found]


def _cells(runs: Sequence[Times]) -> list[str]:
    if not runs:
        return ["not measured"] * 3
    return [
        ", ".join(f"{run[name]:.2g}" if math.isfinite(run[name]) else "never" for run in runs)
        for name in ("emergence", *RATIOS)
    ]
