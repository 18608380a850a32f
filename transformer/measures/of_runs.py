"""What a measure of runs is; each has its file in `transformer.measures.of_runs`.

When ICL emerged, peaked and faded: a row a run.

Onset, peak and half-decay of ICL: two rows a run, one for each metric.

How long the weights of each part are, over training.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict

import torch

from transformer.config.model import in_part
from transformer.config.registry import Registry
from transformer.measures.events import CHANCE, EVALUATORS, WINDOW, timeline, transience
from transformer.model.loaded import Model, load_model
from transformer.runs.folder import RunFolder

Row = dict[str, float | str | None]
"""The columns of a table by name, None for what there is not; all rows of a measure have them."""
Measure = Callable[[RunFolder], Iterable[Row]]
MEASURES: Registry[Measure] = Registry("measure", "transformer.measures.of_runs")


def at_checkpoints(of_model: Callable[[Model, RunFolder], Row]) -> Measure:
    """The measure of a run that is one of its model at every checkpoint, a row each.

    Those that an interruption left besides are passed over: a table does not depend on them.
    """

    def measure(run: RunFolder) -> Iterable[Row]:
        for step in filter(run.config.is_checkpoint, run.steps()):
            place: Row = {"step": step, "sequences": step * run.config.sequences_per_step}
            yield place | of_model(load_model(run, step), run)

    measure.__doc__ = of_model.__doc__
    return measure


@MEASURES.register("events")
def events(run: RunFolder) -> Iterator[Row]:
    """When ICL emerged, peaked and faded (`transformer.measures.events`).

    A run that lacks one of the evaluators has no row.
    """
    curves = run.curves()
    if {*EVALUATORS} <= {*curves.values}:
        yield asdict(timeline(curves))


EVALUATOR = "icl"


@MEASURES.register("transience")
def transience_of_run(run: RunFolder) -> Iterator[Row]:
    """Onset, peak and half-decay of ICL, in sequences seen (`transformer.measures.events`).

    One row for the accuracy among the labels in context (`in_context_accuracy`, chance 0.5) and one
    for the accuracy over all labels (`accuracy`, chance 0).  A run without the evaluator `icl`, or
    with fewer evaluations than a smoothing window, has no row.
    """
    for metric, chance in CHANCE.items():
        curves = run.curves(metric)
        if EVALUATOR in curves.values and len(curves.sequences) >= WINDOW:
            n_sequences = run.config.evaluation.n_sequences
            found = transience(curves.sequences, curves.values[EVALUATOR], n_sequences, chance)
            yield {"metric": metric, "n_sequences": n_sequences} | asdict(found)


PARTS = ("encoder", "labels", "positions", "attention", "mlp", "unembedding")


@MEASURES.register("weight_norms")
@at_checkpoints
def weight_norms(model: Model, run: RunFolder) -> Row:
    """Euclidean norm of the weights of each part, at every checkpoint; None for one it has not."""
    return {part: _norm(model, part) for part in PARTS}


def _norm(model: Model, part: str) -> float | None:
    of_part = [value for name, value in model.parameters.items() if in_part(name, part)]
    squares = [value.double().square().sum() for value in of_part]
    return torch.stack(squares).sum().sqrt().item() if squares else None
