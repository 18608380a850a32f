"""Onset, peak and half-decay of ICL: two rows a run, one for each metric."""

from collections.abc import Iterator
from dataclasses import asdict

from transformer.measures.measure import MEASURES, Row
from transformer.measures.transience import CHANCE, WINDOW, transience
from transformer.runs.folder import RunFolder

EVALUATOR = "icl"


@MEASURES.register("transience")
def transience_of_run(run: RunFolder) -> Iterator[Row]:
    """Onset, peak and half-decay of ICL, in sequences seen (`transformer.measures.transience`).

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
