"""What a run will take, before it is started."""

import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import torch

from coopetition.tools.errors import UsageError
from transformer.config import RunConfig
from transformer.data.evaluation import evaluators_of
from transformer.data.exemplars import Exemplars
from transformer.data.sequences import Sequences
from transformer.measures.metrics import CHUNK, evaluate
from transformer.runs.machine import Machine
from transformer.runs.warm_start import read_warm_start
from transformer.training.bench import repeated_step, wait
from transformer.training.ensemble import new_train_state, source_of
from transformer.training.loop import check_encoder, check_sizes
from transformer.training.step import TrainState

TIMED_S = 2.0
LONGEST_S = 1e13  # that a timedelta holds, and a third of a million years


def forecast(configs: dict[str, RunConfig], machine: Machine) -> dict[str, Any]:
    """Steps, parameters, memory and time of runs that are trained together, by name.

    The time is that of a few steps and evaluations on made-up data, here and now, executed as the
    machine says; sampling and checkpoints, some per cent, are not in it.  Memory is what the
    train state and the exemplars hold, without activations.
    """
    each = list(configs.values())
    config = each[0]
    if config.data.exemplars.n_classes == 0:
        raise UsageError("how many classes there are is in the file; give --data.exemplars.path")
    d_features = config.data.exemplars.feature_count()
    check_sizes({own.data.exemplars.feature_count() for own in each})
    for number, own in enumerate(each):
        check_encoder(own, d_features)
        if own.start.path:
            each[number] = replace(own, start=read_warm_start(own.start)[0])  # or say why not
    train_state = new_train_state(each, d_features, machine)
    step = repeated_step(
        train_state,
        context=config.data.context,
        d_features=d_features,
        n_labels=config.data.exemplars.n_classes,
        batch_size=config.data.batch_size,
    )
    step()  # compiles if it has to
    print("timing some steps and evaluations", file=sys.stderr, flush=True)
    step_s = _median_time(step, train_state.device)
    chunk_s = _median_time(_evaluation(train_state, config, d_features), train_state.device)
    n_evaluations = -(-config.n_steps // config.evaluation.every) + 1  # at 0 and at the end
    n_sequences = sum(own.evaluation.n_sequences * len(evaluators_of(own).data) for own in each)
    seconds = config.n_steps * step_s + n_evaluations * n_sequences / CHUNK * chunk_s
    n_parameters = sum(train_state.parameters[name][0].numel() for name in train_state.moments)
    return {
        "runs": len(each),
        "steps": config.n_steps,
        "sequences": config.n_steps * config.sequences_per_step,
        "parameters": n_parameters,
        "features": d_features,
        "still_needed": ", ".join(_still_needed(config)) or None,
        "memory_mib": round((state_bytes(train_state) + exemplar_bytes(each, d_features)) / 2**20),
        "ms_per_step": round(step_s * 1e3, 2),
        "predicted_s": round(seconds, 1),
        "predicted_time": str(timedelta(seconds=round(min(seconds, LONGEST_S)))),
        "execution": machine.execution,
        "device": machine.device,
        "threads": machine.threads,
        "run_id": ", ".join(map(_final_id, each)),
    }


def state_bytes(train_state: TrainState) -> int:
    """What parameters, their gradients and the optimiser's moments take."""
    parameters = train_state.parameters
    moments = [value for each in train_state.moments.values() for value in each.values()]
    gradients = [parameters[name] for name in train_state.moments]
    return sum(value.nbytes for value in (*parameters.values(), *gradients, *moments))


def _final_id(config: RunConfig) -> str:
    """The run's id, if what it depends on has been read."""
    unread = getattr(config.data.exemplars, "fingerprint", None) == ""
    waiting = config.start.given and not config.start.run_id
    return "known when the files are read" if unread or waiting else config.run_id()


def _still_needed(config: RunConfig) -> list[str]:
    """Flags without which the run cannot start."""
    needed = []
    if getattr(config.data.exemplars, "path", None) == "":
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


def _median_time(function: Callable[[], object], device: torch.device) -> float:
    """Median seconds of a call, over some time."""
    times: list[float] = []
    while sum(times) < TIMED_S:
        start = time.perf_counter()
        function()
        wait(device)
        times.append(time.perf_counter() - start)
    return statistics.median(times)
