"""What a run will take, before it is started."""

import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import torch

from coopetition.tools.errors import UsageError
from transformer.config import RunConfig
from transformer.data.evaluation import evaluators_of
from transformer.data.exemplar_sets import Exemplars
from transformer.data.sequences import Sequences
from transformer.measures.metrics import CHUNK, evaluate
from transformer.runs.machine import Machine, keep_freed_memory
from transformer.runs.warm_start import read_warm_start
from transformer.training.ensemble import new_train_state, source_of
from transformer.training.execution import settle
from transformer.training.memory import disk_bytes, number_count, state_bytes, trained_shapes
from transformer.training.prepare import check_runs
from transformer.training.step import TrainState
from transformer.training.timing import median_seconds, repeated_step

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
