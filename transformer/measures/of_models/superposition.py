"""What sharper and flatter attention does to heads: alone, one among all, and all at once."""

from collections.abc import Iterator

import torch

from transformer.interventions.ablate import Ablate
from transformer.interventions.silence_non_labels import SilenceNonLabels
from transformer.interventions.temperature import Temperature
from transformer.measures.view import MODEL_MEASURES, Reading, View

SHOWN = 250  # sequences: enough to see whether heads go together
TEMPERATURES = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
METRIC = "in_context_probability"


@MODEL_MEASURES.register("head_alone")
def head_alone(view: View, *, temperatures: tuple[float, ...] = TEMPERATURES) -> Iterator[Reading]:
    """In-context probability of each head of the last layer alone, by temperature (figure 15b).

    The layer's other heads add nothing, and the head attends to labels only.
    """
    config = view.model.config
    last = config.n_layers - 1
    for temperature in temperatures:
        for head in range(config.n_heads):
            own = (f"{last}:{head}",)
            others = tuple(f"{last}:{h}" for h in range(config.n_heads) if h != head)
            alone = [SilenceNonLabels(heads=own), Temperature(heads=own, temperature=temperature)]
            if others:
                alone.append(Ablate(heads=others))
            yield Reading("alone", view.metric(METRIC, *alone), last, head, temperature)


@MODEL_MEASURES.register("superposition")
def superposition(
    view: View, *, temperatures: tuple[float, ...] = TEMPERATURES
) -> Iterator[Reading]:
    """In-context probability where the temperature of one head of the last layer changes (15c).

    All heads of the layer are active and attend to labels only; the others keep temperature 1.
    """
    config = view.model.config
    last = config.n_layers - 1
    labels_only = SilenceNonLabels(heads=(f"{last}:*",))
    for temperature in temperatures:
        for head in range(config.n_heads):
            one = Temperature(heads=(f"{last}:{head}",), temperature=temperature)
            value = view.metric(METRIC, labels_only, one)
            yield Reading("one of all", value, last, head, temperature)


@MODEL_MEASURES.register("common_temperature")
def common_temperature(
    view: View, *, temperatures: tuple[float, ...] = TEMPERATURES
) -> Iterator[Reading]:
    """In-context probability where all heads of the last layer share one temperature.

    A variant of our own beside figure 15c; heads may attend to exemplars too.
    """
    last = view.model.config.n_layers - 1
    for temperature in temperatures:
        heated = Temperature(heads=(f"{last}:*",), temperature=temperature)
        yield Reading("all", view.metric(METRIC, heated), last, None, temperature)


@MODEL_MEASURES.register("strength_by_sequence")
def strength_by_sequence(view: View, *, n_sequences: int = SHOWN) -> Iterator[Reading]:
    """Induction strength of the last layer's heads on single sequences, the first 250 (`at`).

    Of those that have labels that are the target, and others.
    """
    both = torch.nonzero(view.both)[:n_sequences, 0]
    sign = view.right[:, both].float() * 2 - 1
    row = view.patterns[-1][:, -1, 1::2, both]
    last = view.model.config.n_layers - 1
    for sequence, values in zip(both.tolist(), (row * sign).sum(1).T, strict=True):
        for head, value in enumerate(values.tolist()):
            yield Reading("strength", value, last, head, sequence)
