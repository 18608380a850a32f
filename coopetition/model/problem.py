"""The exact reduction: two numbers a factor instead of a vector.

For a factor x with target x*, n = |x*|, the overlap u = x.x*/n and the orthogonal part w = |x -
u x*/n| carry the whole dynamics, for every finite descent step and for the flow: the gradient of x
lies in the plane of x and x*, so the orthogonal part keeps its direction (a step may make w
negative: a reflection).  With P = prod u, S = prod n, R = prod (u^2 + w^2) over a mechanism's
factors and N its number of tensor entries (1 if losses are sums over them),

    L_m = [(S - P)^2 + (R - P^2)] / 2N,           K = R_x R_y / 2N_xy
    dL/du_x = sum_m C_m [(R' - P'^2) u_x + (P - S) P'] / N + sum alpha R_y u_x / N_xy
    dL/dw_x = [sum_m C_m R' / N + sum alpha R_y / N_xy] w_x

where a prime leaves x out and C_m = prod_{k != m} (L_k + mu_k).  R - P^2 is summed as products of
squares, so that small losses keep all their digits.

The functions are plain arithmetic on lists with one entry a factor: floats for one trajectory,
arrays for many at once.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from coopetition.model.declaration import Model
from coopetition.model.draws import Draw
from coopetition.tools.errors import UsageError

Number = Any  # a float, or an array over trajectories
Numbers = list[Number]


@dataclass(frozen=True, slots=True)
class _Term:
    """A mechanism or cost with its factors as positions."""

    name: str
    factors: tuple[int, ...]
    weight: Number  # mu or alpha
    target: Number  # S
    size: Number  # N


class Reduced:
    """A model with the lengths and target norms of its factors: loss and gradient in (u, w).

    Parameters
    ----------
    model : the declaration
    dims, norms : each factor's length and |x*|, by name; arrays for many problems at once
    weights : values to use instead of the model's offsets and strengths, by the name of the
        mechanism or cost; arrays for many problems at once
    """

    def __init__(
        self,
        model: Model,
        dims: Mapping[str, Number],
        norms: Mapping[str, Number],
        weights: Mapping[str, Number] | None = None,
    ) -> None:
        unknown = set(model.factors) ^ set(dims)
        if unknown:
            raise UsageError(
                f"the draw and the model disagree on the factors {sorted(unknown)}; "
                f"the model has {model.factors}"
            )
        self.model, self.dims, self.norms = model, dims, norms
        position = {name: k for k, name in enumerate(model.factors)}

        def term(name: str, factors: tuple[str, ...], weight: float) -> _Term:
            return _Term(
                name,
                tuple(position[f] for f in factors),
                (weights or {}).get(name, weight),
                self._target(name, factors),
                self._size(name, factors),
            )

        self._mechanisms = [term(m.name, m.factors, m.offset) for m in model.mechanisms]
        self._costs = [term(c.name, c.factors, c.strength) for c in model.costs]

    def _target(self, _name: str, factors: tuple[str, ...]) -> Number:
        return math.prod(self.norms[f] for f in factors)

    def _size(self, _name: str, factors: tuple[str, ...]) -> Number:
        return math.prod(self.dims[f] for f in factors) if self.model.convention == "mean" else 1

    @property
    def targets(self) -> dict[str, Number]:
        """Each mechanism's S, the size of its target tensor, by name."""
        return {m.name: m.target for m in self._mechanisms}

    @property
    def sizes(self) -> dict[str, Number]:
        """Each mechanism's and cost's N, by name."""
        return {term.name: term.size for term in (*self._mechanisms, *self._costs)}

    @property
    def offsets(self) -> dict[str, Number]:
        """Each mechanism's weight, by name."""
        return {m.name: m.weight for m in self._mechanisms}

    @property
    def strengths(self) -> dict[str, Number]:
        """Each cost's weight, by name."""
        return {cost.name: cost.weight for cost in self._costs}

    def unlearnt(self) -> dict[str, float]:
        """Each mechanism's loss when it has learnt nothing, S^2 / 2N: the plateau's height."""
        return {m.name: m.target**2 / (2 * m.size) for m in self._mechanisms}

    def losses(self, u: Numbers, w: Numbers) -> dict[str, Number]:
        """Each mechanism's loss and each cost by name, and their combination `total`."""
        squares = [x * x + y * y for x, y in zip(u, w, strict=True)]
        named = {m.name: _mechanism_loss(m, u, w, squares) for m in self._mechanisms}
        total = math.prod(named[m.name] + m.weight for m in self._mechanisms)
        for cost in self._costs:
            x, y = cost.factors
            named[cost.name] = squares[x] * squares[y] / (2 * cost.size)
            total = total + cost.weight * named[cost.name]
        return named | {"total": total}

    def gradient(self, u: Numbers, w: Numbers) -> tuple[Numbers, Numbers]:
        """Gradient of the total loss for every u and w."""
        pull, shrink, shrink_w = self._forces(u, w)
        return (
            [p + s * x for p, s, x in zip(pull, shrink, u, strict=True)],
            [s * x for s, x in zip(shrink_w, w, strict=True)],
        )

    def transverse_curvature(self, u: Numbers, w: Numbers) -> Numbers:
        """Second derivative of the loss along x, at right angles to both x and its target.

        There are (length - 2) such directions for a factor with an orthogonal part, and as many
        more as it has none; all have the same curvature, (dL/dw) / w.
        """
        return self._forces(u, w)[2]

    def _forces(self, u: Numbers, w: Numbers) -> tuple[Numbers, Numbers, Numbers]:
        """What pulls u to its target, and what shrinks u and w, per unit of each."""
        squares = [x * x + y * y for x, y in zip(u, w, strict=True)]
        offset_losses = [_mechanism_loss(m, u, w, squares) + m.weight for m in self._mechanisms]
        pull: Numbers = [0] * len(u)  # towards the target
        shrink: Numbers = [0] * len(u)  # towards zero, for u
        shrink_w: Numbers = [0] * len(u)
        for k, m in enumerate(self._mechanisms):
            others = offset_losses[:k] + offset_losses[k + 1 :]
            coupling = math.prod(others) / m.size
            error = coupling * (math.prod([u[f] for f in m.factors]) - m.target)
            for x in m.factors:
                rest = [f for f in m.factors if f != x]
                pull[x] = pull[x] + error * math.prod([u[f] for f in rest])
                shrink[x] = shrink[x] + coupling * _excess(rest, u, w, squares)
                shrink_w[x] = shrink_w[x] + coupling * math.prod([squares[f] for f in rest])
        for cost in self._costs:
            for x, y in (cost.factors, cost.factors[::-1]):
                push = (cost.weight / cost.size) * squares[y]
                shrink[x] = shrink[x] + push
                shrink_w[x] = shrink_w[x] + push
        return pull, shrink, shrink_w

    def velocity(self, u: Numbers, w: Numbers) -> tuple[Numbers, Numbers]:
        """Minus the gradient, each factor at its rate: the flow, and a descent step of size 1."""
        return tuple(  # type: ignore[return-value]
            [-rate * g for rate, g in zip(self.model.rates, slope, strict=True)]
            for slope in self.gradient(u, w)
        )


def _mechanism_loss(m: _Term, u: Numbers, w: Numbers, squares: Numbers) -> Number:
    miss = m.target - math.prod([u[f] for f in m.factors])
    return (miss * miss + _excess(m.factors, u, w, squares)) / (2 * m.size)


def _excess(factors: Any, u: Numbers, w: Numbers, squares: Numbers) -> Number:
    """Prod (u^2 + w^2) - prod u^2 over `factors`, as a sum without cancellation."""
    total: Number = 0
    aligned: Number = 1  # prod u^2 over the factors so far
    for f in factors:
        total = total * squares[f] + aligned * (w[f] * w[f])
        aligned = aligned * (u[f] * u[f])
    return total


def project(model: Model, draw: Draw) -> tuple[Reduced, list[float], list[float]]:
    """A draw's reduced problem and its initial overlaps and orthogonal norms, in factor order."""
    with np.errstate(over="ignore", invalid="ignore"):  # a draw of enormous numbers
        return _project(model, draw)


def _project(model: Model, draw: Draw) -> tuple[Reduced, list[float], list[float]]:
    norms = {name: float(np.linalg.norm(target)) for name, target in draw.target.items()}
    reduced = Reduced(model, draw.dims, norms)
    overlaps, orthogonal = [], []
    for name in model.factors:
        direction = draw.target[name] / norms[name]
        overlap = float(draw.initial[name] @ direction)
        overlaps.append(overlap)
        orthogonal.append(float(np.linalg.norm(draw.initial[name] - overlap * direction)))
    return reduced, overlaps, orthogonal
