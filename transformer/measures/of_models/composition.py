"""What the last layer reads of the layers before it."""

from collections.abc import Iterator

from transformer.interventions.ablate import Ablate
from transformer.interventions.preserve import Preserve, What
from transformer.measures.view import MODEL_MEASURES, Reading, View

STAGES: tuple[What, ...] = ("queries", "keys", "values")


@MODEL_MEASURES.register("composition")
def composition(view: View) -> Iterator[Reading]:
    """In-context accuracy as it is, and with the heads before the last layer adding nothing.

    Then with queries, keys and values of all layers kept (what is left is their direct path),
    and with two of these kept, so that one is computed from the embeddings alone: where accuracy
    falls, that one composes.
    """
    before = range(view.model.config.n_layers - 1)
    silent = [Ablate(heads=tuple(f"{layer}:*" for layer in before))] if before else []
    cases = {"default": (), "kept": (*silent, Preserve(what=STAGES))}
    for stage in STAGES:
        kept: tuple[What, ...] = tuple(each for each in STAGES if each != stage)
        cases[f"only {stage} recomputed"] = (*silent, Preserve(what=kept))
    for what, interventions in cases.items():
        yield Reading(what, view.metric("in_context_accuracy", *interventions))
