"""Time training steps, and compare them with their matrix products and optimiser alone.

These parts alone take `floor_milliseconds`.  Flags with several values give a row for every
combination.
"""

from dataclasses import dataclass
from itertools import product
from typing import Annotated

from coopetition.tools.console import print_rows
from coopetition.tools.flags import default_shown_as

COLUMNS = (
    "n_layers",
    "n_classes",
    "runs",
    "execution",
    "milliseconds_per_step",
    "milliseconds_per_step_and_run",
    "floor_milliseconds",
    "ratio_to_floor",
    "first_step_s",
)


@dataclass(frozen=True, kw_only=True)
class Flags:
    n_classes: tuple[int, ...] = (1600,)
    """Numbers of classes; there are as many labels."""
    runs: tuple[int, ...] = (1,)
    """Numbers of runs that are trained together."""
    n_layers: tuple[int, ...] = (2,)
    """Numbers of layers."""
    execution: tuple[str, ...] = ("auto",)
    """How steps are executed: `eager`, `compiled`, `graph` or `compiled-graph` (CUDA), or
    `auto`, the fastest of those that are available."""
    d_features: int = 512
    """Number of features of an exemplar."""
    repeats: int = 7
    """Number of timed repeats; the median is shown."""
    device: str = "auto"
    """Device: `auto`, `cpu`, `cuda` or `mps`."""
    threads: Annotated[int | None, default_shown_as("chosen as in training")] = None
    """Number of CPU threads."""
    json: bool = False
    """Print one JSON object for each row."""


def run(flags: Flags) -> None:
    from transformer.training.bench import Workload, bench

    workloads = [
        Workload(n_classes, n_runs, n_layers, flags.d_features)
        for n_layers, n_classes, n_runs in product(flags.n_layers, flags.n_classes, flags.runs)
    ]
    rows = bench(
        workloads,
        device=flags.device,
        threads=flags.threads,
        executions=flags.execution,
        repeats=flags.repeats,
    )
    print_rows(rows, as_json=flags.json, shown=COLUMNS)
