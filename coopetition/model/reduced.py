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

The functions are plain arithmetic on a `State`: of floats for one problem, arrays for many at once,
symbols for a proof.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np

from coopetition.model.graph import Model
from coopetition.model.initial_state import Draw
from coopetition.tools.errors import UsageError, check_type

Number = Any  # a float, an array over problems, or a symbol
Numbers = Sequence[Number]


class Part(NamedTuple):
    """What a state says of one factor."""

    overlap: Number
    orthogonal: Number

    @property
    def square(self) -> Number:
        """|x|^2."""
        return self.overlap * self.overlap + self.orthogonal * self.orthogonal

    @property
    def length(self) -> Number:
        """|x|."""
        return self.square**0.5


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class State:
    """Overlap and orthogonal part of every factor, `state["d"].overlap`; also slopes and speeds.

    overlap, orthogonal : u and w of each factor, in the order of `factors`
    time : flow time
    """

    factors: tuple[str, ...]
    overlap: Numbers
    orthogonal: Numbers
    time: float = 0.0

    def __getitem__(self, factor: str) -> Part:
        if factor not in self.factors:
            raise UsageError(f"there is no factor {factor!r}; choose out of {self.factors}")
        k = self.factors.index(factor)
        return Part(self.overlap[k], self.orthogonal[k])

    def __repr__(self) -> str:
        if shape := np.shape(self.overlap[0]):
            return f"<State of {', '.join(self.factors)}: arrays of {' x '.join(map(str, shape))}>"
        parts = ", ".join(f"{f}=({u}, {w})" for f, (u, w) in ((f, self[f]) for f in self.factors))
        return f"State({parts}, time={self.time})"

    @property
    def entries(self) -> list[Number]:
        """Every overlap, then every orthogonal part."""
        return [*self.overlap, *self.orthogonal]

    def with_entries(self, entries: Numbers) -> "State":
        """The same factors at other values, listed as in `entries`."""
        n = len(self.factors)
        return State(self.factors, entries[:n], entries[n:], self.time)

    def moved(self, by: Number, velocity: "State") -> "State":
        """The state plus `by` times a velocity."""
        pairs = zip(self.entries, velocity.entries, strict=True)
        return self.with_entries([x + by * v for x, v in pairs])


@dataclass(frozen=True, slots=True)
class _Term:
    """A mechanism or cost with its factors as positions."""

    name: str
    factors: tuple[int, ...]
    weight: Number  # mu or alpha
    target: Number  # S
    size: Number  # N


class Problem:
    """A model with the lengths, target norms and initial state of its factors.

    model : the declaration
    dims, norms : each factor's length and |x*|, by name
    start : the initial state

    Raises
    ------
    UsageError : the draw and the model have different factors
    """

    def __init__(self, model: Model, draw: Draw) -> None:
        check_type(model, Model, "a Model")
        check_type(draw, Draw, "a Draw")
        self._set(model, draw.dims, *_project(model, draw), {})

    @classmethod
    def of_numbers(
        cls,
        model: Model,
        dims: Mapping[str, Number],
        norms: Mapping[str, Number],
        *,
        start: State | None = None,
        parameters: Mapping[str, Number] | None = None,
    ) -> Self:
        """A problem by its numbers, which may be arrays or symbols; at the origin without `start`.

        parameters : values in place of the model's, named as in `Model.replace`
        """
        problem = cls.__new__(cls)
        problem._set(model, dims, norms, start, parameters or {})
        return problem

    def _set(
        self,
        model: Model,
        dims: Mapping[str, Number],
        norms: Mapping[str, Number],
        start: State | None,
        parameters: Mapping[str, Number],
    ) -> None:
        check_factors(model, dims)
        zeros = [0.0] * len(model.factors)
        self.model, self.dims, self.norms = model, dims, norms
        self.start = State(model.factors, zeros, zeros) if start is None else start
        weights = model.assigned(parameters)

        def term(name: str, factors: tuple[str, ...]) -> _Term:
            return _Term(
                name,
                tuple(model.factors.index(f) for f in factors),
                weights[name],
                self._target(name, factors),
                self._size(name, factors),
            )

        self._mechanisms = [term(m.name, m.factors) for m in model.mechanisms]
        self._costs = [term(c.name, c.factors) for c in model.costs]

    def _target(self, _name: str, factors: tuple[str, ...]) -> Number:
        return math.prod(self.norms[f] for f in factors)

    def _size(self, _name: str, factors: tuple[str, ...]) -> Number:
        return math.prod(self.dims[f] for f in factors) if self.model.convention == "mean" else 1

    def __repr__(self) -> str:
        parts = (f"{m.name} = {' '.join(m.factors)}" for m in self.model.mechanisms)
        return f"<Problem of {', '.join(parts)}>"

    @property
    def targets(self) -> dict[str, Number]:
        """Each mechanism's S, the size of its target tensor, by name."""
        return {m.name: m.target for m in self._mechanisms}

    @property
    def sizes(self) -> dict[str, Number]:
        """Each mechanism's and cost's N, by name."""
        return {term.name: term.size for term in (*self._mechanisms, *self._costs)}

    @property
    def mu(self) -> dict[str, Number]:
        """Each mechanism's irreducible error, by name."""
        return {m.name: m.weight for m in self._mechanisms}

    @property
    def alpha(self) -> dict[str, Number]:
        """Each cost's strength, by name."""
        return {cost.name: cost.weight for cost in self._costs}

    def unlearnt(self) -> dict[str, float]:
        """Each mechanism's loss when it has learnt nothing, S^2 / 2N: the plateau's height."""
        return {m.name: m.target**2 / (2 * m.size) for m in self._mechanisms}

    def losses(self, state: State) -> dict[str, Number]:
        """Each mechanism's loss and each cost by name, and their combination `total`."""
        u, w = state.overlap, state.orthogonal
        squares = _squares(state)
        named = {m.name: _mechanism_loss(m, u, w, squares) for m in self._mechanisms}
        total = math.prod(named[m.name] + m.weight for m in self._mechanisms)
        for cost in self._costs:
            x, y = cost.factors
            named[cost.name] = squares[x] * squares[y] / (2 * cost.size)
            total = total + cost.weight * named[cost.name]
        return named | {"total": total}

    def gradient(self, state: State) -> State:
        """Gradient of the total loss, laid out as the state."""
        pull, shrink, shrink_w = self._forces(state)
        return State(
            state.factors,
            [p + s * x for p, s, x in zip(pull, shrink, state.overlap, strict=True)],
            [s * x for s, x in zip(shrink_w, state.orthogonal, strict=True)],
        )

    def velocity(self, state: State) -> State:
        """Minus the gradient, each factor at its rate: the flow, and a descent step of size 1."""
        slope = self.gradient(state)
        return slope.with_entries(
            [-r * g for r, g in zip(self.model.rates * 2, slope.entries, strict=True)]
        )

    def transverse_curvature(self, state: State) -> Numbers:
        """Second derivative of the loss along x, at right angles to both x and its target.

        There are length - 2 such directions, or length - 1 where w = 0; all have the same
        curvature, (dL/dw) / w.
        """
        return self._forces(state)[2]

    def _forces(self, state: State) -> tuple[Numbers, Numbers, Numbers]:
        """What pulls u to its target, and what shrinks u and w, per unit of each."""
        u, w = state.overlap, state.orthogonal
        squares = _squares(state)
        offset_losses = [_mechanism_loss(m, u, w, squares) + m.weight for m in self._mechanisms]
        pull: list[Number] = [0] * len(u)  # towards the target
        shrink: list[Number] = [0] * len(u)  # towards zero, for u
        shrink_w: list[Number] = [0] * len(u)
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


def _squares(state: State) -> list[Number]:
    return [x * x + y * y for x, y in zip(state.overlap, state.orthogonal, strict=True)]


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


def check_factors(model: Model, named: Mapping[str, Any]) -> None:
    """Raise `UsageError` unless the names are those of the model's factors."""
    different = set(model.factors) ^ set(named)
    if different:
        raise UsageError(
            f"the draw and the model disagree on the factors {sorted(different)}; the model has "
            f"{model.factors}: give a random draw the model, or lengths of these factors as `dims`"
        )


def _project(model: Model, draw: Draw) -> tuple[dict[str, float], State]:
    """A draw's target norms and initial state."""
    check_factors(model, draw.target)
    norms, overlap, orthogonal = {}, [], []
    with np.errstate(over="ignore", invalid="ignore"):  # a draw of enormous numbers
        for name, target in draw.target.items():
            norms[name] = float(np.linalg.norm(target))
        for name in model.factors:
            direction = draw.target[name] / norms[name]
            overlap.append(float(draw.initial[name] @ direction))
            rest = draw.initial[name] - overlap[-1] * direction
            orthogonal.append(float(np.linalg.norm(rest)))
    return norms, State(model.factors, overlap, orthogonal)
