"""What a run will take, before it is started.

How long does a training step take, and how long must it at least?
"""

import itertools
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import torch

from coopetition.tools.console import ProgressReport
from coopetition.tools.errors import UsageError
from transformer.config import ModelConfig, OptimConfig, RunConfig
from transformer.data.evaluators import evaluators_of
from transformer.data.exemplar_sets import Exemplars
from transformer.data.sequences import Sequences
from transformer.measures.metrics import CHUNK, evaluate
from transformer.runs.prepare import check_runs
from transformer.runs.warm_start import read_warm_start
from transformer.training.ensemble import new_train_state, source_of
from transformer.training.execution import (
    median_seconds,
    plain_threads,
    repeated_step,
    settle,
    wait,
)
from transformer.training.machine import WORTH_COMPILING, Execution, Machine, keep_freed_memory
from transformer.training.memory import disk_bytes, number_count, state_bytes, trained_shapes
from transformer.training.step import RunSettings, TrainState

TIMED_S = 2.0
LONGEST_S = 1e13  # that a timedelta holds, and a third of a million years


def forecast(configs: dict[str, RunConfig], machine: Machine) -> dict[str, Any]:
    """Steps, parameters, memory, disk and time of runs that are trained together, by name.

    The time is that of a few steps and evaluations on made-up data, here and now, executed as the
    machine says; sampling and checkpoints, some per cent, are not in it.  Memory is what the
    train state and the exemplars hold, without activations; disk is what checkpoints take at the
    end.
    """
    each = list(configs.values())
    config = each[0]
    if config.data.exemplars.n_classes == 0:
        raise UsageError("how many classes there are is in the file; give --data.exemplars.path")
    counts = [own.data.exemplars.feature_count() for own in each]
    d_features = counts[0]
    starts = [read_warm_start(own.start) if own.start.path else None for own in each]
    check_runs(each, starts, counts, machine.device)
    each = [
        replace(own, start=start[0]) if start else own
        for own, start in zip(each, starts, strict=True)
    ]
    keep_freed_memory()
    train_state = new_train_state(each, d_features, machine)
    step = repeated_step(
        train_state,
        context=config.data.context,
        d_features=d_features,
        n_labels=config.data.exemplars.n_classes,
        batch_size=config.data.batch_size,
    )
    machine, _ = settle(train_state, step, machine, config.n_steps)
    evaluation = _evaluation(train_state, config, d_features)
    print("timing some steps and evaluations", file=sys.stderr, flush=True)
    with machine.use(config.precision):
        step()  # the first of each takes up to seconds
        evaluation()
        step_s, chunk_s = (
            median_seconds(function, train_state.device, TIMED_S) for function in (step, evaluation)
        )

    n_evaluations = -(-config.n_steps // config.evaluation.every) + 1  # at 0 and at the end
    n_sequences = sum(own.evaluation.n_sequences * len(evaluators_of(own).data) for own in each)
    seconds = config.n_steps * step_s + n_evaluations * n_sequences / CHUNK * chunk_s
    memory = state_bytes(each, d_features) + exemplar_bytes(each, d_features)
    disk = sum(disk_bytes(own, d_features) for own in each)
    return {
        "runs": len(each),
        "steps": config.n_steps,
        "sequences": config.n_steps * config.sequences_per_step,
        "parameters": number_count(trained_shapes(config, d_features)),
        "features": d_features,
        "still_needed": ", ".join(_still_needed(config)) or None,
        "memory_mib": round(memory / 2**20),
        "checkpoints": config.checkpoint_count(),
        "disk_mib": round(disk / 2**20),
        "ms_per_step": round(step_s * 1e3, 2),
        "predicted_s": round(seconds, 1),
        "predicted_time": str(timedelta(seconds=round(min(seconds, LONGEST_S)))),
        "execution": machine.execution,
        "device": machine.device,
        "threads": machine.threads,
        "run_id": ", ".join(map(_final_id, each)),
    }


def _final_id(config: RunConfig) -> str:
    """The run's id, if what it depends on has been read."""
    unread = getattr(config.data.exemplars, "fingerprint", None) == ""
    waiting = config.start.given and not config.start.run_id
    return "known when the files are read" if unread or waiting else config.run_id()


def _still_needed(config: RunConfig) -> list[str]:
    """Flags without which the run cannot start."""
    needed, exemplars = [], config.data.exemplars
    if exemplars.needs_path and not getattr(exemplars, "path", ""):
        needed.append("--data.exemplars.path")
    if config.start.given and not config.start.path:
        needed.append("--start.path")
    return needed


def exemplar_bytes(configs: list[RunConfig], d_features: int) -> int:
    """What the sets of exemplars take: a byte a pixel, half precision for all else.

    A file of features that are bytes takes half of what it is counted as.
    """
    sets = {source_of(config): config.data.exemplars for config in configs}
    return sum(
        own.n_classes * own.n_exemplars * d_features * own.bytes_per_feature
        for own in sets.values()
    )


def _evaluation(state: TrainState, config: RunConfig, d_features: int) -> Callable[[], object]:
    """One call evaluates a chunk of sequences, of zeros, for the first run."""
    context = config.data.context
    exemplars = Exemplars(torch.zeros(1, 1, d_features, device=state.device), 1.0)
    zeros = torch.zeros(context + 1, CHUNK, dtype=torch.int64, device=state.device)
    sequences = Sequences(zeros, zeros[1:], zeros[0])
    return lambda: evaluate(state.of_run(0), config.model, exemplars, sequences)


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
