"""The model by its definition: full vectors, explicit tensors, automatic derivatives.

It is slow and obvious: the exact reduction (`coopetition.model.reduced`) is tested against it.
"""

import math
from functools import reduce

import torch

from coopetition.model.graph import Model
from coopetition.model.initial_state import InitialState, Vector

Vectors = dict[str, Vector]


def losses(model: Model, draw: InitialState, vectors: Vectors) -> dict[str, float]:
    """Return each mechanism's loss and each cost by name, and their combination `total`."""
    tensors = {name: torch.as_tensor(vector) for name, vector in vectors.items()}
    return {name: loss.item() for name, loss in _losses(model, draw, tensors).items()}


def gradient(model: Model, draw: InitialState, vectors: Vectors) -> Vectors:
    """Return the gradient of the total loss for each factor."""
    tensors = {f: torch.tensor(vector, requires_grad=True) for f, vector in vectors.items()}
    _losses(model, draw, tensors)["total"].backward()
    return {f: tensor.grad.numpy() for f, tensor in tensors.items()}


def descend(model: Model, draw: InitialState, *, step: float, n_steps: int) -> list[Vectors]:
    """Return the factors after 0, 1, ..., n_steps steps of gradient descent, each at its rate."""
    steps = {name: step * rate for name, rate in zip(model.factors, model.rates, strict=True)}
    states = [dict(draw.initial)]
    for _ in range(n_steps):
        slope = gradient(model, draw, states[-1])
        states.append({name: x - steps[name] * slope[name] for name, x in states[-1].items()})
    return states


def _losses(model: Model, draw: InitialState, vectors: dict) -> dict:
    average = torch.mean if model.convention == "mean" else torch.sum
    target = {name: torch.as_tensor(vector) for name, vector in draw.target.items()}

    def outer(factors: tuple[str, ...], of: dict) -> torch.Tensor:
        return reduce(lambda x, y: torch.tensordot(x, y, dims=0), [of[f] for f in factors])

    named = {
        m.name: average((outer(m.factors, vectors) - outer(m.factors, target)) ** 2) / 2
        for m in model.mechanisms
    }
    total = math.prod(named[m.name] + m.mu for m in model.mechanisms)
    for cost in model.costs:
        named[cost.name] = average(outer(cost.factors, vectors) ** 2) / 2
        total = total + cost.alpha * named[cost.name]
    return named | {"total": total}
