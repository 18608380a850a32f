"""Time of training steps, beside the floor of their own matrix products and optimiser."""

import platform
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch

from coopetition.tools.console import ProgressReport
from coopetition.tools.errors import UsageError
from transformer.config import ModelConfig, OptimConfig
from transformer.config.plain import require_at_least
from transformer.training.execution import choose_threads, repeated_step, seconds_of
from transformer.training.machine import (
    WORTH_COMPILING,
    Execution,
    Machine,
    keep_freed_memory,
    list_candidates,
)
from transformer.training.step import RunSettings, TrainState

REPEAT_S = 0.5  # length of one timed repeat


CONTEXT, BATCH_SIZE = 2, 32  # pairs before the query, and sequences of a run, in a timed step


@dataclass(frozen=True, slots=True)
class Workload:
    """Sizes of the training steps that are timed, of the coopetition paper's model."""

    n_classes: int
    n_runs: int = 1
    n_layers: int = 2
    d_features: int = 512

    def __post_init__(self) -> None:
        require_at_least(self, 2, "n_classes")  # a single class leaves nothing to tell apart
        require_at_least(self, 1, "n_runs", "n_layers", "d_features")

    def train_state(self, device: torch.device, execution: Execution = "eager") -> TrainState:
        """Return runs at their initial parameters."""
        return TrainState(
            ModelConfig(n_layers=self.n_layers),
            [RunSettings(seed, OptimConfig()) for seed in range(self.n_runs)],
            context=CONTEXT,
            d_features=self.d_features,
            n_labels=self.n_classes,
            device=device,
            execution=execution,
        )


def bench(
    workloads: list[Workload],
    *,
    device: str,
    threads: int | None,
    executions: tuple[str, ...],
    repeats: int,
) -> Iterator[dict[str, Any]]:
    """Yield a row for each workload and execution: time of a step, its spread, and the floor.

    The step is the update alone, on given features; sampling and gathering come on top.  The floor
    is what no implementation with dense Adam can omit: the matrix products of embedding, layers
    and unembedding, forwards and backwards, and one fused Adam pass.  Executions and the floor are
    timed in turn in one process.
    """
    if not (workloads and executions) or repeats < 1:
        raise UsageError(
            f"{len(workloads)} workloads, {len(executions)} executions and {repeats} repeats; give "
            "at least one value of --n-classes, --runs, --n-layers, --execution and --repeats"
        )
    machines = [_bench_machine(device, threads, each) for each in executions]
    with ProgressReport("bench", len(workloads), "workloads") as progress:
        for workload in workloads:
            yield from _bench_rows(workload, machines, repeats)
            progress.advance()


def _bench_machine(device: str, threads: int | None, execution: str) -> Machine:
    """Return a machine; `auto` is the fastest execution that is available."""
    machine = Machine.choose(device, threads, execution, n_steps=WORTH_COMPILING)
    if machine.execution != "auto":
        return machine
    fastest, *_ = list_candidates(torch.device(machine.device), WORTH_COMPILING)
    return replace(machine, execution=fastest)


def _bench_threads(workload: Workload, device: torch.device) -> int:
    """Choose threads as training does for a run that is long enough to be compiled."""
    state, most = workload.train_state(device), torch.get_num_threads()
    try:
        step = repeated_step(state, BATCH_SIZE)
        return choose_threads(state, step, most, WORTH_COMPILING).number
    finally:
        torch.set_num_threads(most)


def _bench_rows(workload: Workload, machines: list[Machine], repeats: int) -> list[dict[str, Any]]:
    device = torch.device(machines[0].device)
    keep_freed_memory()
    threads = machines[0].threads or _bench_threads(workload, device)
    steps, first_s = [], []
    with replace(machines[0], threads=threads).use():
        for machine in machines:
            assert machine.execution != "auto"
            state = workload.train_state(device, machine.execution)
            steps.append(repeated_step(state, BATCH_SIZE))
            first_s.append(seconds_of(steps[-1], device))
        functions = [*steps, floor(workload, device)]
        *timings, floor_ms = _milliseconds_in_turn(functions, repeats, device)
    lowest = statistics.median(floor_ms)
    rows = []
    for machine, step_ms, first in zip(machines, timings, first_s, strict=True):
        median = statistics.median(step_ms)
        rows.append(
            {
                "n_layers": workload.n_layers,
                "n_classes": workload.n_classes,
                "runs": workload.n_runs,
                "execution": machine.execution,
                "milliseconds_per_step": round(median, 3),
                "milliseconds_per_step_and_run": round(median / workload.n_runs, 3),
                "spread": [round(min(step_ms), 3), round(max(step_ms), 3)],
                "floor_milliseconds": round(lowest, 3),
                "ratio_to_floor": round(median / lowest, 2),
                "first_step_s": round(first, 1),
                "d_features": workload.d_features,
                "repeats": repeats,
                "device": machine.device,
                "threads": threads,
                "torch": torch.__version__,
                "machine": platform.machine(),
            }
        )
    return rows


def floor(workload: Workload, device: torch.device) -> Callable[[], object]:
    """Return a function with the matrix products of a step and one fused Adam pass."""
    n_runs, d = workload.n_runs, ModelConfig().d_model
    tokens = (2 * CONTEXT + 1) * BATCH_SIZE
    # (rows, inputs, outputs) of each product
    products = [
        ((CONTEXT + 1) * BATCH_SIZE, workload.d_features, d),
        (BATCH_SIZE, d, workload.n_classes),
    ]
    # only the query leaves the last layer
    for rows in [tokens] * (workload.n_layers - 1) + [BATCH_SIZE]:
        # queries; keys, values; output
        products += [(rows, d, d), (tokens, d, 2 * d), (rows, d, d)]
    operands = []
    for rows, inputs, outputs in products:
        x = torch.randn(n_runs, rows, inputs, device=device)
        weight = torch.randn(n_runs, inputs, outputs, device=device)
        slope = torch.randn(n_runs, rows, outputs, device=device)
        operands.append((x, weight, slope))
    n_parameters = n_runs * (sum(i * o for _, i, o in products) + workload.n_classes * (d + 1))
    flat = torch.nn.Parameter(torch.zeros(n_parameters, device=device))
    flat.grad = torch.ones_like(flat)
    adam = torch.optim.Adam([flat], fused=True)

    def work() -> None:
        for x, weight, slope in operands:
            torch.bmm(x, weight)
            torch.bmm(x.mT, slope)
            if x is not operands[0][0]:  # nothing is learnt below the embedding
                torch.bmm(slope, weight.mT)
        adam.step()

    return work


def _milliseconds_in_turn(
    functions: list[Callable[[], object]], repeats: int, device: torch.device
) -> list[list[float]]:
    """Return milliseconds a call, `repeats` times of each in turn, so that drift affects all."""
    counts = []
    for function in functions:
        seconds_of(function, device, 20)  # warm-up
        counts.append(max(5, round(REPEAT_S / seconds_of(function, device, 20))))
    timings: list[list[float]] = [[] for _ in functions]
    for _ in range(repeats):
        for function, count, values in zip(functions, counts, timings, strict=True):
            values.append(seconds_of(function, device, count) * 1e3)
    return timings
