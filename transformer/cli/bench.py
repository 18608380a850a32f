"""Time the training step beside the floor of its own matrix products and optimiser.

Flags with several values make a row for every combination.
"""

from dataclasses import asdict, dataclass

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
    """eager, compiled, graph (CUDA); auto: compiled if it can be."""
    mlp_ratio: int = 0
    context: int = 2
    d_features: int = 512
    batch_size: int = 32
    repeats: int = 7
    """Timed repeats; the median counts."""
    device: str = "auto"
    threads: int | None = None
    """CPU threads (default: chosen by timing steps, as training does)."""
    json: bool = False
    """Print one JSON object a row."""


def run(flags: Flags) -> None:
    from transformer.training.cost import bench

    settings = asdict(flags)
    as_json = settings.pop("json")
    print_rows(bench(**settings), as_json=as_json, shown=COLUMNS)
