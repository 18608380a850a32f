"""Measure what writing checkpoints and metrics adds to the training time of an ensemble.

    python -m tests.benchmarks.checkpoints [RUNS] [FOLDER]

32 tiny runs unless given, 100 steps, 20 checkpoints and 20 evaluations.  It prints the seconds of
training in memory, of training on disk, and their ratio; then the same in CPU seconds, which other
processes hardly change.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from transformer.config import DataConfig, EvaluationConfig, ModelConfig, RunConfig
from transformer.data.exemplars.glyphs import GlyphConfig
from transformer.runs.train import in_memory, train_together
from transformer.training.machine import Machine

MACHINE = Machine("cpu", 1, "eager")
BASE = RunConfig(
    model=ModelConfig(d_model=16, n_heads=2),
    data=DataConfig(exemplars=GlyphConfig(n_classes=20, n_exemplars=4), batch_size=8),
    evaluation=EvaluationConfig(every=5, n_sequences=50, n_classes=20, n_exemplars=3),
    n_steps=100,
    checkpoint_every=5,
)


def seconds_of(work: Callable[[], object]) -> tuple[float, float]:
    """Time one call: wall-clock and CPU seconds."""
    start, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - start, time.process_time() - cpu


def train_in_memory(configs: dict[str, RunConfig]) -> None:
    """Train and evaluate, writing nothing."""
    ensemble = in_memory(*configs.values(), machine=MACHINE)
    ensemble.metric_rows(ensemble.evaluate())
    while ensemble.step < BASE.n_steps:
        ensemble.advance()
        if ensemble.is_evaluation(ensemble.step):
            ensemble.metric_rows(ensemble.evaluate())


def main() -> None:
    """Print the seconds and their ratio."""
    n_runs = int(sys.argv[1]) if len(sys.argv) > 1 else 32
    configs = {f"seed_{seed}": replace(BASE, init_seed=seed) for seed in range(n_runs)}
    train_in_memory(dict([*configs.items()][:1]))  # imports, and drawings that are kept
    with tempfile.TemporaryDirectory(dir=sys.argv[2] if len(sys.argv) > 2 else None) as folder:
        memory = seconds_of(lambda: train_in_memory(configs))
        disk = seconds_of(lambda: train_together(configs, Path(folder) / "runs", MACHINE))
    for what, a, b in zip(("seconds", "CPU seconds"), memory, disk, strict=True):
        print(f"{n_runs} runs: {a:.1f} {what} in memory, {b:.1f} on disk, {b / a:.2f} times")


if __name__ == "__main__":
    main()
