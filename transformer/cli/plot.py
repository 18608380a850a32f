"""Plot the metrics of runs, also while they train.

A run needs two evaluations before it can be drawn.
"""

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from coopetition.cli._flags import Metric, Paths
from coopetition.cli.plot import PlotFlags
from coopetition.tools.errors import UsageError, abbreviate

if TYPE_CHECKING:
    from transformer.runs.folder import RunFolder

POLL_S = 1.0  # between two looks at the metrics
ACTIVE = ("created", "running")  # statuses of runs whose metrics may grow


@dataclass(frozen=True, kw_only=True)
class Flags(PlotFlags):
    paths: Paths
    """Folders of runs, or of runs that were trained together."""
    metric: Metric = "in_context_accuracy"
    """Metric of the curves: loss (nats) or accuracy, over all labels or over those in context."""
    watch: bool = False
    """Draw again when metrics arrive, until all runs have stopped. Ctrl-C ends it earlier."""


def run(flags: Flags) -> None:
    from transformer.runs.folder import load_runs

    flags.check(flags.paths)
    runs = [run for path in flags.paths for run in load_runs(path)]
    if flags.watch:
        _watch(flags, runs)
    else:
        _draw(flags, runs)


def _watch(flags: Flags, runs: list["RunFolder"]) -> None:
    drawn = None
    while True:
        # first the status, so that the last metrics are drawn before the end
        is_over = all(run.current_status()["status"] not in ACTIVE for run in runs)
        files = [run.metrics_path.stat() for run in runs if run.metrics_path.exists()]
        state = [(file.st_mtime_ns, file.st_size) for file in files]
        if is_over or (state != drawn and any(_is_measured(run) for run in runs)):
            _draw(flags, runs)
            drawn = state
        if is_over:
            return
        time.sleep(POLL_S)


def _draw(flags: Flags, runs: list["RunFolder"]) -> None:
    """Draw the runs that have measurements, and print one line on what is shown."""
    measured = [run for run in runs if _is_measured(run)]
    if not measured:
        raise UsageError(
            f"{runs[0].path} has fewer than two evaluations; train it until it has, or add --watch"
        )
    shown = flags.draw((run.path, run.curves(flags.metric)) for run in measured)
    print(f"{shown}; {abbreviate([*map(_describe, measured)])}", flush=True)


def _describe(run: "RunFolder") -> str:
    step, status = run.metrics()[-1]["step"], run.current_status()["status"]
    return f"{run.path.name}: step {step:,} of {run.config.n_steps:,} ({status})"


def _is_measured(run: "RunFolder") -> bool:
    return len(run.metrics()) > 1
