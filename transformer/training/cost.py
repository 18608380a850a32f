"""Cost of runs before they start: memory, disk and time."""

import math
import os
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import timedelta
from typing import Any, NamedTuple

import torch

from coopetition.tools.console import print_progress
from coopetition.tools.errors import UsageError
from transformer.config import RunConfig
from transformer.data.evaluators import evaluators_of
from transformer.data.exemplar_sets import Exemplars, RunExemplars
from transformer.data.sequences import Sequences
from transformer.measures.metrics import evaluate_runs, piece_sizes
from transformer.model.parameters import Shapes, parameter_shapes, running_shapes
from transformer.training.activations import (
    evaluated_elements,
    largest_intermediate,
    saved_elements,
)
from transformer.training.ensemble import new_train_state
from transformer.training.execution import choose_execution, median_seconds, repeated_step
from transformer.training.machine import Machine, keep_freed_memory
from transformer.training.optimisers import moment_names
from transformer.training.step import GROUPED, TrainState

MAX_TENSORS = 20_000  # with more, one step takes ten seconds, whatever their sizes
TENSOR_S = 5e-4  # seconds of a plain step per tensor, on a core of 2026
TIMED_S = 2.0  # seconds for which a forecast times steps, and evaluations
MAX_S = 1e13  # a timedelta holds that many seconds, a third of a million years


def trained_shapes(config: RunConfig, d_features: int) -> Shapes:
    """Return the shapes of the parameters that a run trains."""
    return parameter_shapes(
        config.model,
        context=config.data.context,
        d_features=d_features,
        n_labels=config.data.exemplars.n_classes,
    )


def all_shapes(config: RunConfig, d_features: int) -> Shapes:
    """Return the shapes of a run's parameters and running statistics."""
    return trained_shapes(config, d_features) | running_shapes(config.model)


def count_elements(shapes: Shapes) -> int:
    """Return how many elements tensors of these shapes have."""
    return sum(map(math.prod, shapes.values()))


def memory_bytes(configs: list[RunConfig], d_features: int, machine: Machine) -> dict[str, int]:
    """Return the bytes that runs need when they are trained together, by purpose.

    A CUDA graph keeps the memory of a step.  Beside it, the norms of gradients need the memory of
    an eager step; its activations are freed before the evaluation, which needs its own.
    """
    is_cuda = torch.device(machine.device).type == "cuda"
    steps = 2 if is_cuda and ("graph" in machine.execution or machine.execution == "auto") else 1
    step = activation_bytes(configs, d_features)
    evaluated = evaluated_bytes(configs, d_features, machine)
    return {
        "parameters, gradients and moments": state_bytes(configs, d_features, steps),
        "activations": (steps - 1) * step + max(step, evaluated),
        "batches": steps * batch_bytes(configs, d_features),
        "exemplars": exemplar_bytes(configs, d_features),
        "evaluation sets": evaluation_bytes(configs),
    }


def state_bytes(configs: list[RunConfig], d_features: int, n_gradients: int = 1) -> int:
    """Return the bytes of parameters, gradients and optimiser moments of all runs.

    Gradients of small parameters are joined for the update, and clipped ones are copied twice.
    """
    config = configs[0]
    sizes = [*map(math.prod, trained_shapes(config, d_features).values())]
    clips = any(own.optim.clip_norm for own in configs)
    copies = 1 + n_gradients * (3 if clips else 1) + len(moment_names(config.optim))
    joined = n_gradients * sum(size for size in sizes if size <= GROUPED)
    return len(configs) * _width(config) * (copies * sum(sizes) + joined)


def activation_bytes(configs: list[RunConfig], d_features: int) -> int:
    """Return the bytes that an eager step of all runs needs beside state, gradients and batch.

    Two temporary tensors come on top of what the forward pass keeps: of attention, of the logits,
    or of the update of the largest parameter.  This is within a factor of 1.5 of what eager steps
    in float32 without interventions use; compiled and bfloat16 ones use less.
    """
    config = configs[0]
    largest_parameter = max(map(math.prod, trained_shapes(config, d_features).values()))
    temporary = max(largest_intermediate(config), largest_parameter)
    elements = saved_elements(config, d_features) + 2 * temporary
    return len(configs) * _width(config) * elements


def evaluated_bytes(configs: list[RunConfig], d_features: int, machine: Machine) -> int:
    """Return the bytes that evaluating the runs needs beside their parameters."""
    return max(
        piece.n_runs
        * _width(configs[0])
        * evaluated_elements(configs[0], d_features, piece.n_sequences, piece.n_logits)
        for piece in evaluation_pieces(configs, machine)
    )


class Piece(NamedTuple):
    """Sequences that are evaluated at once.

    n_sequences : in each run
    n_logits : sequences of each run whose logits are measured at once
    """

    n_runs: int
    n_sequences: int
    n_logits: int


def evaluation_pieces(configs: list[RunConfig], machine: Machine) -> Counter[Piece]:
    """Return how often each piece occurs in one evaluation of all runs, without interventions.

    On a CPU, runs are evaluated one by one; elsewhere those whose evaluation sets have the same
    shapes are evaluated together (`Ensemble.evaluate`).
    """
    config, is_cpu = configs[0], torch.device(machine.device).type == "cpu"
    sets = Counter((each.evaluation.n_sequences, *evaluators_of(each).data) for each in configs)
    pieces: Counter[Piece] = Counter()
    for (n_sequences, *evaluators), count in sets.items():
        n_runs, n_groups = (1, count) if is_cpu else (count, 1)
        shape = n_runs, config.data.exemplars.n_classes
        n_items, width = config.data.context + 1, _width(config)
        at_most, rows = piece_sizes(config.model, shape, n_items, width, is_cpu=is_cpu)
        n_whole, rest = divmod(n_sequences, at_most)
        for n, n_times in ((at_most, n_whole), (rest, int(rest > 0))):
            if n_times:
                pieces[Piece(n_runs, n, min(rows, n))] += n_times * n_groups * len(evaluators)
    return pieces


def largest_piece(pieces: Iterable[Piece]) -> Piece:
    """Return the piece with most sequences of all runs."""
    return max(pieces, key=lambda piece: piece.n_runs * piece.n_sequences)


def batch_bytes(configs: list[RunConfig], d_features: int) -> int:
    """Return the bytes of the features of a step's batches, of all runs, without activations."""
    data = configs[0].data
    return len(configs) * data.batch_size * (data.context + 1) * d_features * _width(configs[0])


def exemplar_bytes(configs: list[RunConfig], d_features: int) -> int:
    """Return the bytes of the sets of exemplars: 1 a pixel, 2 for other features.

    A file of features that are bytes takes half of that.
    """
    return sum(
        each.n_classes * each.n_exemplars * d_features * each.bytes_per_feature
        for each in {config.data.exemplars for config in configs}
    )


def evaluation_bytes(configs: list[RunConfig]) -> int:
    """Return the bytes of the evaluation sets of all runs, 8 for each index of a sequence."""
    return sum(
        8
        * (2 * config.data.context + 2)
        * config.evaluation.n_sequences
        * len(evaluators_of(config).data)
        for config in configs
    )


def disk_bytes(config: RunConfig, d_features: int) -> int:
    """Return the bytes of a finished run's checkpoints, without headers of some KiB each."""
    weights, state = config.keep
    n_weights = n_made = config.checkpoint_count()
    if weights != "all":
        n_weights = min(n_made, int(weights) + len(config.checkpoint_at))
    n_states = 1 if state == "last" else n_weights
    elements, width = count_elements(all_shapes(config, d_features)), _width(config)
    moments = len(moment_names(config.optim)) * count_elements(trained_shapes(config, d_features))
    return n_weights * elements * (2 if config.keep_half else width) + n_states * width * (
        elements + moments
    )


def _width(config: RunConfig) -> int:
    """Return the bytes of a parameter."""
    return 8 if config.precision == "float64" else 4


def count_tensors(config: RunConfig) -> int:
    """Return how many tensors one run trains, without listing them all."""

    def count(n_layers: int) -> int:
        model = replace(config.model, n_layers=n_layers)
        return len(parameter_shapes(model, context=1, d_features=1, n_labels=1))

    return count(1) + (config.model.n_layers - 1) * (count(2) - count(1))


def check_size(configs: list[RunConfig], d_features: int, machine: Machine) -> None:
    """Raise `UsageError` for too many tensors, or more bytes than the device's memory."""
    n_tensors = count_tensors(configs[0])
    if n_tensors > MAX_TENSORS:
        raise UsageError(
            f"the model has {n_tensors:,} tensors, so that one step would take some "
            f"{n_tensors * TENSOR_S:,.0f} s; choose a smaller model.n_layers than "
            f"{configs[0].model.n_layers}"
        )
    needs = memory_bytes(configs, d_features, machine)
    needed, available = sum(needs.values()), _memory(torch.device(machine.device))
    if needed > available:
        shares = ", ".join(f"{what} {_gib(each)}" for what, each in needs.items())
        changes = [f"fewer runs than {len(configs)}"] if len(configs) > 1 else []
        changes.append(_change(max(needs, key=needs.__getitem__), configs))
        eager = memory_bytes(configs, d_features, replace(machine, execution="eager"))
        if sum(eager.values()) <= available:
            changes.append("--execution eager")
        raise UsageError(
            f"this takes {_gib(needed)} GiB ({shares}), and {machine.device} has "
            f"{_gib(available)}; choose {' or '.join(changes)}"
        )


def _change(largest: str, configs: list[RunConfig]) -> str:
    """Return which settings to lower, by what needs most memory."""
    batch_size = f"a smaller data.batch_size than {configs[0].data.batch_size:,}"
    n_sequences = max(config.evaluation.n_sequences for config in configs)
    return {
        "activations": f"{batch_size} or a smaller model.n_layers or model.d_model",
        "batches": batch_size,
        "exemplars": "a smaller data.exemplars.n_classes or data.exemplars.n_exemplars",
        "evaluation sets": f"a smaller evaluation.n_sequences than {n_sequences:,}",
    }.get(largest, "a smaller model.n_layers, model.d_model or data.exemplars.n_classes")


def _gib(n_bytes: float) -> str:
    return f"{n_bytes / 2**30:,.1f}"


def _memory(device: torch.device) -> float:
    """Return the bytes of a device's memory; infinite if unknown."""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return math.inf


def forecast_cost(configs: list[RunConfig], machine: Machine) -> dict[str, Any]:
    """Return steps, parameters, memory, disk and time of runs that are trained together.

    The time is that of a few steps and evaluations on made-up data, here and now, executed as the
    machine says; it lacks sampling and checkpoints, some per cent.  Memory is that of a training
    step and the exemplars (`memory_bytes`).  Disk is that of the checkpoints at the end.
    """
    config = configs[0]
    d_features = config.data.exemplars.feature_count()
    keep_freed_memory()
    train_state = new_train_state(configs, d_features, machine)
    step = repeated_step(train_state, config.data.batch_size)
    machine, _ = choose_execution(train_state, step, machine, config.n_steps)
    pieces = evaluation_pieces(configs, machine)
    evaluation = _repeated_evaluation(train_state, config, largest_piece(pieces))
    print_progress("timing some steps and evaluations")
    with machine.use(config.precision):
        step()  # the first of each takes up to seconds
        evaluation()
        step_s, piece_s = (
            median_seconds(function, train_state.device, TIMED_S) for function in (step, evaluation)
        )
    n_evaluations = -(-config.n_steps // config.evaluation.every) + 1  # at 0 and at the end
    n_sequences = sum(count * each.n_runs * each.n_sequences for each, count in pieces.items())
    evaluation_s = piece_s * n_sequences / math.prod(largest_piece(pieces)[:2])
    seconds = config.n_steps * step_s + n_evaluations * evaluation_s
    memory = sum(memory_bytes(configs, d_features, machine).values())
    disk = sum(disk_bytes(own, d_features) for own in configs)
    return {
        "runs": len(configs),
        "steps": config.n_steps,
        "sequences": config.n_steps * config.sequences_per_step,
        "parameters": count_elements(trained_shapes(config, d_features)),
        "features": d_features,
        "still_needed": ", ".join(_still_needed(config)) or None,
        "memory_mib": round(memory / 2**20),
        "checkpoints": config.checkpoint_count(),
        "disk_mib": round(disk / 2**20),
        "ms_per_step": round(step_s * 1e3, 2),
        "predicted_s": round(seconds, 1),
        "predicted_time": str(timedelta(seconds=round(min(seconds, MAX_S)))),
        "execution": machine.execution,
        "device": machine.device,
        "threads": machine.threads,
        "run_id": ", ".join(map(_final_id, configs)),
    }


def _repeated_evaluation(
    state: TrainState, config: RunConfig, piece: Piece
) -> Callable[[], object]:
    """Return a function that evaluates a piece of zeros."""
    one = Exemplars(torch.zeros(1, 1, state.d_features, device=state.device), 1.0)
    exemplars, shape = RunExemplars([one] * piece.n_runs), (state.context + 1, piece.n_sequences)
    zeros = torch.zeros(shape, dtype=torch.int64, device=state.device)
    sequences = [Sequences(zeros, zeros[1:], zeros[0])] * piece.n_runs
    parameters = state.select_parameters([*range(piece.n_runs)])
    return lambda: evaluate_runs(parameters, config.model, exemplars, sequences)


def _final_id(config: RunConfig) -> str:
    """Return the run's id, if the files that it depends on have been read."""
    is_unread = getattr(config.data.exemplars, "fingerprint", None) == ""
    waits = config.start.given and not config.start.run_id
    return "known when the files are read" if is_unread or waits else config.run_id()


def _still_needed(config: RunConfig) -> list[str]:
    """Return the flags without which the run cannot start."""
    needed, exemplars = [], config.data.exemplars
    if exemplars.needs_path and not getattr(exemplars, "path", ""):
        needed.append("--data.exemplars.path")
    if config.start.given and not config.start.path:
        needed.append("--start.path")
    return needed
