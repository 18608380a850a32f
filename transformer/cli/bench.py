"""Time training steps, beside the floor of their own matrix products and optimiser.

Flags with several values give a row for every combination.
"""

from dataclasses import dataclass
from itertools import product
from typing import Annotated

from coopetition.tools.commands import default_shown_as
from coopetition.tools.console import print_rows

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
    """Classes, and so labels."""
    runs: tuple[int, ...] = (1,)
    """Runs trained at once."""
    n_layers: tuple[int, ...] = (2,)
    """Layers of the transformer."""
    execution: tuple[str, ...] = ("auto",)
    """Execution of steps: eager, compiled, graph (CUDA), or auto: compiled if possible."""
    mlp_ratio: int = 0
    """Width of the MLPs relative to the model's; 0: no MLPs."""
    context: int = 2
    """Exemplars in context."""
    d_features: int = 512
    """Features of an exemplar."""
    batch_size: int = 32
    """Sequences of a step, for each run."""
    repeats: int = 7
    """Timed repeats; the median is shown."""
    device: str = "auto"
    """auto, cpu, cuda or mps."""
    threads: Annotated[int | None, default_shown_as("chosen as in training")] = None
    """CPU threads."""
    json: bool = False
    """Print one JSON object for each row."""


def run(flags: Flags) -> None:
    from transformer.config import ModelConfig
    from transformer.training.cost import Workload, bench

    workloads = [
        Workload(
            n_classes,
            n_runs,
            ModelConfig(n_layers=n_layers, mlp_ratio=flags.mlp_ratio),
            flags.context,
            flags.d_features,
            flags.batch_size,
        )
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
