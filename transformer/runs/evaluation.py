"""Metrics of a checkpoint, also under interventions that it was not trained under."""

from typing import NamedTuple

import torch

from transformer.config.interventions import Intervention, check_interventions
from transformer.measures.metrics import evaluate, means
from transformer.model.hooks import Intervened
from transformer.runs.folder import RunFolder
from transformer.runs.prepare import resolve_recorded
from transformer.runs.recovery import newest_weights, print_problems
from transformer.training.cost import all_shapes
from transformer.training.machine import dtype_of


class Evaluation(NamedTuple):
    """A checkpoint on all evaluators."""

    step: int
    metrics: dict[str, dict[str, float | None]]
    """By evaluator and name."""
    acted: dict[Intervention, int]
    """How many times each intervention acted, batches counted."""


def evaluate_checkpoint(
    run: RunFolder,
    step: int | None = None,
    *,
    interventions: tuple[Intervention, ...] = (),
    replace_own: bool = False,
) -> Evaluation:
    """Evaluate a checkpoint: the newest undamaged one, or that of `step`.

    It is evaluated under `interventions`, and those that the run was trained under unless
    `replace_own`.
    """
    interventions = tuple(each.resolved() for each in interventions)
    own = () if replace_own else run.config.interventions
    check_interventions((*own, *interventions), run.config.model)
    if step is not None:
        checkpoint = run.checkpoint(step)
    else:
        checkpoint, damaged = newest_weights(run)
        print_problems(damaged)
    (resolved,) = resolve_recorded([run.config], with_start=False)
    checkpoint.check_trained_on(resolved.fingerprint)
    model, device = run.config.model, torch.device(run.machine.device)
    dtype = dtype_of(run.config.precision)
    try:
        parameters = {
            name: checkpoint.tensors[name][None].to(device, dtype)
            for name in all_shapes(run.config, resolved.exemplars.d_features)
        }
    except KeyError as error:
        raise checkpoint.wrong_tensors_error(error) from error
    with run.machine.use(run.config.precision):
        alone = Intervened([own], model, parameters)
        intervened = Intervened([(*own, *interventions)], model, parameters, alone)
        exemplars = resolved.exemplars.to(device)
        table = {
            name: means(
                evaluate(parameters, model, exemplars, sequences.to(device), intervened or None)
            )
            for name, sequences in run.evaluation_sets().items()
        }
    return Evaluation(checkpoint.step, table, dict(intervened.acted))
