"""What is left when attention, or everything but attention, is silent."""

from collections.abc import Iterator

from transformer.interventions.ablate import Ablate
from transformer.interventions.ablate_embedding import AblateEmbedding
from transformer.interventions.preserve import Preserve
from transformer.measures.view import MODEL_MEASURES, Reading, View


@MODEL_MEASURES.register("paths")
def paths(view: View) -> Iterator[Reading]:
    """In-context accuracy of the whole, of the path without heads, and of heads alone.

    Without heads the query's own embedding, and what MLPs make of it, is all that there is (pure
    in-weights learning); of heads alone, embeddings are 0 and patterns and values are kept.
    """
    every_head = Ablate(heads=tuple(f"{layer}:*" for layer in range(view.model.config.n_layers)))
    cases = {
        "default": (),
        "no heads": (every_head,),
        "heads alone": (AblateEmbedding(), Preserve(what=("patterns", "values"))),
    }
    for what, interventions in cases.items():
        yield Reading(what, view.metric("in_context_accuracy", *interventions))
