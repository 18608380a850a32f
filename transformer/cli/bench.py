"""Time training steps, beside the floor of their own matrix products and optimiser.

Flags with several values give a row for every combination.
"""

from dataclasses import dataclass

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
    runs: tuple[int, ...] = (1,)
    """Runs trained at once."""
    n_layers: tuple[int, ...] = (2,)
    execution: tuple[str, ...] = ("auto",)
    """Execution of steps: eager, compiled, graph (CUDA), or auto: compiled if possible."""
    mlp_ratio: int = 0
    context: int = 2
    d_features: int = 512
    batch_size: int = 32
    repeats: int = 7
    """Timed repeats; the median is shown."""
    device: str = "auto"
    """auto, cpu, cuda or mps."""
    threads: int | None = None
    """CPU threads (default: chosen by timing steps, as training does)."""
    json: bool = False
    """Print one JSON object for each row."""


def run(flags: Flags) -> None:
    from transformer.training.cost import bench, combine

    workloads = combine(
        n_layers=flags.n_layers,
        n_classes=flags.n_classes,
        runs=flags.runs,
        mlp_ratio=(flags.mlp_ratio,),
        context=(flags.context,),
        d_features=(flags.d_features,),
        batch_size=(flags.batch_size,),
    )
    rows = bench(
        workloads,
        device=flags.device,
        threads=flags.threads,
        executions=flags.execution,
        repeats=flags.repeats,
    )
    print_rows(rows, as_json=flags.json, shown=COLUMNS)
