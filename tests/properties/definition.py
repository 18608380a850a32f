"""The model by its definition: full vectors, explicit tensors.

Slow and obvious.  It is the oracle that the exact reduction (`coopetition.model.reduced`) is tested
against; use the reduction for everything else.
"""

import math
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from coopetition.model.graph import Model
from coopetition.model.initial_state import InitialState, Vector

Vectors = dict[str, Vector]


def outer(vectors: list[Vector]) -> NDArray[np.float64]:
    """Outer product of vectors, one axis each."""
    return reduce(np.multiply.outer, vectors)


def losses(model: Model, draw: InitialState, vectors: Vectors) -> dict[str, float]:
    """Each mechanism's loss and each cost by name, and their combination `total`."""
    average = np.mean if model.convention == "mean" else np.sum
    named = {
        mechanism.name: float(average(_residual(mechanism.factors, draw, vectors) ** 2) / 2)
        for mechanism in model.mechanisms
    }
    total = math.prod(named[m.name] + m.mu for m in model.mechanisms)
    for cost in model.costs:
        named[cost.name] = float(average(outer([vectors[f] for f in cost.factors]) ** 2) / 2)
        total += cost.alpha * named[cost.name]
    return named | {"total": total}


def _residual(
    factors: tuple[str, ...], draw: InitialState, vectors: Vectors
) -> NDArray[np.float64]:
    return outer([vectors[f] for f in factors]) - outer([draw.target[f] for f in factors])


def gradient(model: Model, draw: InitialState, vectors: Vectors) -> Vectors:
    """Gradient of the total loss for each factor."""
    result = {name: np.zeros_like(vector) for name, vector in vectors.items()}
    named = losses(model, draw, vectors)
    for mechanism in model.mechanisms:
        others = (named[m.name] + m.mu for m in model.mechanisms if m is not mechanism)
        residual = _residual(mechanism.factors, draw, vectors)
        weight = math.prod(others) / _size(model, residual.size)
        for axis, name in enumerate(mechanism.factors):
            rest = [vectors[f] for f in mechanism.factors if f != name]
            along = np.moveaxis(residual, axis, 0).reshape(len(vectors[name]), -1)
            result[name] += weight * along @ (outer(rest).ravel() if rest else np.ones(1))
    for cost in model.costs:
        x, y = (vectors[f] for f in cost.factors)
        weight = cost.alpha / _size(model, x.size * y.size)
        result[cost.factors[0]] += weight * (y @ y) * x
        result[cost.factors[1]] += weight * (x @ x) * y
    return result


def _size(model: Model, n_entries: int) -> int:
    return n_entries if model.convention == "mean" else 1


def descend(model: Model, draw: InitialState, *, step: float, n_steps: int) -> list[Vectors]:
    """Factors after 0, 1, ..., n_steps steps of gradient descent, each at its rate."""
    steps = {name: step * rate for name, rate in zip(model.factors, model.rates, strict=True)}
    states = [dict(draw.initial)]
    for _ in range(n_steps):
        slope = gradient(model, draw, states[-1])
        states.append({name: x - steps[name] * slope[name] for name, x in states[-1].items()})
    return states
