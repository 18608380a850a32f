"""What one head of the last layer can say by itself."""

from collections.abc import Iterator

import numpy as np

from transformer.interventions.ablate import Ablate
from transformer.interventions.ablate_embedding import AblateEmbedding
from transformer.interventions.clamp_pattern import ClampPattern
from transformer.interventions.preserve import Preserve
from transformer.measures.view import MODEL_MEASURES, Reading, View

STRENGTHS = tuple(np.linspace(0, 1, 11).tolist())


@MODEL_MEASURES.register("copying")
def copying(view: View, *, strengths: tuple[float, ...] = STRENGTHS) -> Iterator[Reading]:
    """In-context accuracy of each head of the last layer alone, clamped to the target by strength.

    All other heads add nothing and tokens are 0 (positions, biases and MLPs stay); values are kept.
    `at` is the attention to the target's label less that to the other, from -1 to 1.
    """
    config = view.model.config
    last = config.n_layers - 1
    for head in range(config.n_heads):
        others = [f"{layer}:{h}" for layer in range(last + 1) for h in range(config.n_heads)]
        others.remove(f"{last}:{head}")
        alone = [AblateEmbedding(), Preserve(what=("patterns", "values"))]
        if others:
            alone.append(Ablate(heads=tuple(others)))
        for strength in strengths:
            clamp = ClampPattern(heads=(f"{last}:{head}",), strength=strength)
            accuracy = view.metric("in_context_accuracy", *alone, clamp)
            yield Reading("accuracy", accuracy, last, head, 2 * strength - 1)
