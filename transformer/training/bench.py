"""How long does a training step take, and how long must it at least?"""

import itertools
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch

from coopetition.tools.console import ProgressReport
from coopetition.tools.errors import UsageError
from transformer.config import ModelConfig, OptimConfig
from transformer.runs.machine import WORTH_COMPILING, Execution, Machine, keep_freed_memory
from transformer.training.execution import plain_threads
from transformer.training.step import RunSettings, TrainState
from transformer.training.timing import repeated_step, wait

REPEAT_S = 0.5  # length of one timed repeat


@dataclass(frozen=True, slots=True)
class Workload:
    """What is timed: training steps of these shapes."""

    n_classes: int
    n_runs: int
    model: ModelConfig
    context: int
    d_features: int
    batch_size: int

    def train_state(self, device: torch.device, execution: Execution) -> TrainState:
        """Runs at their initial parameters."""
        return TrainState(
            self.model,
            [RunSettings(seed, OptimConfig()) for seed in range(self.n_runs)],
            context=self.context,
            d_features=self.d_features,
            n_labels=self.n_classes,
            device=device,
            execution=execution,
        )

    def step(self, execution: Execution, device: torch.device) -> Callable[[], object]:
        """One call is one step of all runs."""
        return self.repeated(self.train_state(device, execution))

    def repeated(self, state: TrainState) -> Callable[[], object]:
        """One call is one step of a train state."""
        return repeated_step(
            state,
            context=self.context,
            d_features=self.d_features,
            n_labels=self.n_classes,
            batch_size=self.batch_size,
        )


def bench(
    *,
    n_classes: tuple[int, ...],
    runs: tuple[int, ...],
    n_layers: tuple[int, ...],
    execution: tuple[str, ...],
    mlp_ratio: int,
    context: int,
    d_features: int,
    batch_size: int,
    repeats: int,
    device: str,
    threads: int | None,
) -> Iterator[dict[str, Any]]:
    """A row for every combination: median milliseconds of a step, its spread, and the floor.

    The step is the update alone, on features that are there; sampling and gathering come on top.
    The floor is what no implementation with dense Adam can leave out: the matrix products of
    embedding, layers and unembedding, forwards and backwards, and one fused Adam pass.  Ways to
    execute and the floor are timed in turn in one process.
    """
    for name, values in (
        ("n_classes", n_classes),
        ("runs", runs),
        ("n_layers", n_layers),
        ("context", (context,)),
        ("d_features", (d_features,)),
        ("batch_size", (batch_size,)),
        ("repeats", (repeats,)),
    ):
        if not values:
            raise UsageError(f"--{name.replace('_', '-')}: no values; give some")
        for value in values:
            least = 2 if name == "n_classes" else 1  # of one class there is nothing to tell
            if value < least:
                raise UsageError(f"{name}={value}; choose at least {least}")
    machines = [_machine(device, threads, each) for each in execution]
    workloads = [
        Workload(
            classes,
            n_runs,
            ModelConfig(n_layers=layers, mlp_ratio=mlp_ratio),
            context,
            d_features,
            batch_size,
        )
        for layers, classes, n_runs in itertools.product(n_layers, n_classes, runs)
    ]
    with ProgressReport("bench", len(workloads), "workloads") as progress:
        for workload in workloads:
            yield from _rows(workload, machines, repeats)
            progress.advance()


def _machine(device: str, threads: int | None, execution: str) -> Machine:
    """Resolve the machine; `auto` compiles where it can."""
    machine = Machine.choose(device, threads, execution, n_steps=WORTH_COMPILING)
    return replace(machine, execution="compiled") if machine.execution == "auto" else machine


def _threads(workload: Workload, device: torch.device) -> int:
    """Choose threads as training does for a run that is long enough to be compiled."""
    state = workload.train_state(device, "eager")
    most = torch.get_num_threads()
    try:
        return plain_threads(state, workload.repeated(state), most, WORTH_COMPILING).number
    finally:
        torch.set_num_threads(most)


def _rows(workload: Workload, machines: list[Machine], repeats: int) -> list[dict[str, Any]]:
    device = torch.device(machines[0].device)
    keep_freed_memory()
    threads = machines[0].threads or _threads(workload, device)
    machines = [replace(machine, threads=threads) for machine in machines]
    steps, first_s = [], []
    with machines[0].use():
        for machine in machines:
            step = workload.step(machine.execution_named(), device)
            first_s.append(_time(step, 1, device) / 1e3)
            steps.append(step)
        *timings, floor_ms = alternate([*steps, floor(workload, device)], repeats, device)
    lowest, n_runs = statistics.median(floor_ms), workload.n_runs
    rows = []
    for machine, step_ms, first in zip(machines, timings, first_s, strict=True):
        median = statistics.median(step_ms)
        rows.append(
            {
                "n_layers": workload.model.n_layers,
                "n_classes": workload.n_classes,
                "runs": n_runs,
                "execution": machine.execution,
                "milliseconds_per_step": round(median, 3),
                "milliseconds_per_step_and_run": round(median / n_runs, 3),
                "spread": [round(min(step_ms), 3), round(max(step_ms), 3)],
                "floor_milliseconds": round(lowest, 3),
                "ratio_to_floor": round(median / lowest, 2),
                "first_step_s": round(first, 1),
                "context": workload.context,
                "mlp_ratio": workload.model.mlp_ratio,
                "d_features": workload.d_features,
                "batch_size": workload.batch_size,
                "repeats": repeats,
                "device": machine.device,
                "threads": machine.threads,
                "torch": torch.__version__,
                "machine": platform.machine(),
            }
        )
    return rows


def floor(workload: Workload, device: torch.device) -> Callable[[], object]:
    """One call does the matrix products of a step and one fused Adam pass over the parameters."""
    model, n_runs, batch_size = workload.model, workload.n_runs, workload.batch_size
    d, m, last = model.d_model, model.d_mlp, model.n_layers - 1
    tokens = (2 * workload.context + 1) * batch_size
    # (rows, inputs, outputs) of each product
    products = [
        ((workload.context + 1) * batch_size, workload.d_features, d),
        (batch_size, d, workload.n_classes),
    ]
    for layer in range(model.n_layers):
        rows = batch_size if layer == last else tokens  # only the query leaves the last layer
        # queries; keys, values; output
        products += [(rows, d, d), (tokens, d, 2 * d), (rows, d, d)]
        if m:
            products += [(rows, d, m), (rows, m, d)]
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


def alternate(
    functions: list[Callable[[], object]], repeats: int, device: torch.device
) -> list[list[float]]:
    """Milliseconds a call of each function, `repeats` times in turn, so that drift hits all."""
    counts = []
    for function in functions:
        _time(function, 20, device)  # warm-up
        counts.append(max(5, round(REPEAT_S * 1e3 / _time(function, 20, device))))
    timings: list[list[float]] = [[] for _ in functions]
    for _ in range(repeats):
        for function, count, values in zip(functions, counts, timings, strict=True):
            values.append(_time(function, count, device))
    return timings


def _time(function: Callable[[], object], count: int, device: torch.device) -> float:
    wait(device)
    start = time.perf_counter()
    for _ in range(count):
        function()
    wait(device)
    return (time.perf_counter() - start) / count * 1e3
