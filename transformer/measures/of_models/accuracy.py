"""How often the evaluators' targets come out."""

from collections.abc import Iterator

from transformer.measures.view import MODEL_MEASURES, Reading, View

METRICS = ("loss", "accuracy", "in_context_accuracy", "in_context_probability")


@MODEL_MEASURES.register("accuracy")
def accuracy(view: View) -> Iterator[Reading]:
    """Loss, accuracy, in-context accuracy and probability, as training records them."""
    found = view.metrics()
    for name in METRICS:
        value = found[name]
        if value is not None:
            yield Reading(name, value)
