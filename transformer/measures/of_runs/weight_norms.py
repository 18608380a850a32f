"""How long the weights of each part are, over training."""

from transformer.config.parts import in_part
from transformer.measures.measure import MEASURES, history

PARTS = ("encoder", "labels", "positions", "attention", "mlp", "unembedding")


@MEASURES.register("weight_norms")
@history
def weight_norms(model, run):
    """Euclidean norm of the weights of each part, at every checkpoint."""
    squares = {part: 0.0 for part in PARTS}
    for name, value in model.parameters.items():
        for part in PARTS:
            squares[part] += float(value.double().square().sum()) if in_part(name, part) else 0.0
    return {part: square**0.5 for part, square in squares.items() if square}
