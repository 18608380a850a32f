"""What sharper and flatter attention does to heads, one by one and together."""

from collections.abc import Iterator

import torch

from transformer.interventions.ablate import Ablate
from transformer.interventions.silence_non_labels import SilenceNonLabels
from transformer.interventions.temperature import Temperature
from transformer.measures.view import MODEL_MEASURES, Reading, View

SHOWN = 250  # sequences: enough to see whether heads go together
TEMPERATURES = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)


@MODEL_MEASURES.register("superposition")
def superposition(view: View) -> Iterator[Reading]:
    """In-context probability at temperatures of the last layer: of each head alone, and of all.

    Alone: the layer's other heads add nothing, and the head attends to labels only.
    """
    config = view.model.config
    last = config.n_layers - 1
    for temperature in TEMPERATURES:
        for head in range(config.n_heads):
            own = (f"{last}:{head}",)
            others = tuple(f"{last}:{h}" for h in range(config.n_heads) if h != head)
            alone = [SilenceNonLabels(heads=own), Temperature(heads=own, temperature=temperature)]
            if others:
                alone.append(Ablate(heads=others))
            value = view.metric("in_context_probability", *alone)
            yield Reading("alone", value, last, head, temperature)
        heated = Temperature(heads=(f"{last}:*",), temperature=temperature)
        value = view.metric("in_context_probability", heated)
        yield Reading("all", value, last, None, temperature)


@MODEL_MEASURES.register("strength_by_sequence")
def strength_by_sequence(view: View) -> Iterator[Reading]:
    """Induction strength of the last layer's heads on single sequences, the first 250 (`at`).

    Of those that have labels that are the target, and others.
    """
    both = torch.nonzero(view.both)[:SHOWN, 0]
    sign = view.right[:, both].float() * 2 - 1
    row = view.patterns[-1][:, -1, 1::2, both]
    last = view.model.config.n_layers - 1
    for sequence, values in zip(both.tolist(), (row * sign).sum(1).T, strict=True):
        for head, value in enumerate(values.tolist()):
            yield Reading("strength", value, last, head, sequence)
