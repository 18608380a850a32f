"""How long the weights of each part are, over training."""

import torch

from transformer.config.parts import in_part
from transformer.measures.measure import MEASURES, Row, at_checkpoints
from transformer.model.loaded import Model
from transformer.runs.folder import RunFolder

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
