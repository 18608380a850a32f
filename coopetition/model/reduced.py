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

The arithmetic is written once, for a `State` of floats (one problem), of arrays (many problems) or
of symbols (a proof).  `descend_states` takes steps with it, and `coopetition.dynamics` compiles it.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, Self

import numpy as np

from coopetition.model.graph import Model
from coopetition.model.initial_state import InitialState
from coopetition.tools.errors import UsageError, check_type

Number = Any  # a float, an array over problems, or a symbol
Numbers = Sequence[Number]


class Part(NamedTuple):
    """The two numbers of one factor in a state."""

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
    """Overlap and orthogonal part of every factor, as `state["d"].overlap`.

    Gradients and velocities have the same layout.

    overlap, orthogonal : u and w of each factor, in the order of `factors`
    time : flow time
    """

    factors: tuple[str, ...]
    overlap: Numbers
    orthogonal: Numbers
    time: float = 0.0

    def __getitem__(self, factor: str) -> Part:
        if factor not in self.factors:
            raise UsageError(f"there is no factor {factor!r}; choose one of {self.factors}")
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
        """Return the same factors with other values, in the order of `entries`."""
        n = len(self.factors)
        return State(self.factors, entries[:n], entries[n:], self.time)

    def step_along(self, velocity: "State", step: Number) -> "State":
        """Return the state plus `step` times a velocity."""
        pairs = zip(self.entries, velocity.entries, strict=True)
        return self.with_entries([x + step * v for x, v in pairs])


class ProblemTables(NamedTuple):
    """A problem for the arithmetic below.

    members, pairs : positions of the factors of each mechanism, and of each cost
    mechanisms : (mu, S, N) of each mechanism;  costs : (alpha, N) of each cost
    """

    members: Any
    pairs: Any
    mechanisms: Any
    costs: Any


class Problem:
    """A model with the lengths, target norms and initial state of its factors.

    model : the declaration
    dims, norms : length and |x*| of each factor, by name
    start : the initial state
    targets, mu : S and irreducible error of each mechanism, by name
    alpha : strength of each cost, by name
    sizes : N of each mechanism and cost, by name

    Raises
    ------
    UsageError : the initial state and the model have different factors
    """

    def __init__(self, model: Model, draw: InitialState) -> None:
        check_type(model, Model, "a Model")
        check_type(draw, InitialState, "an InitialState")
        model.check_factors(draw.target)
        self._set_numbers(model, draw.dims, *_reduce(model, draw), {})

    @classmethod
    def from_numbers(
        cls,
        model: Model,
        dims: Mapping[str, Number],
        norms: Mapping[str, Number],
        *,
        start: State | None = None,
        parameters: Mapping[str, Number] | None = None,
    ) -> Self:
        """Return a problem with numbers that may be arrays or symbols.

        start : the initial state (default: the origin)
        parameters : values in place of the model's, named as in `Model.replace`
        """
        model.check_factors(dims)
        zeros = [0.0] * len(model.factors)
        start = State(model.factors, zeros, zeros) if start is None else start
        problem = cls.__new__(cls)
        problem._set_numbers(model, dims, norms, start, parameters or {})
        return problem

    def _set_numbers(
        self,
        model: Model,
        dims: Mapping[str, Number],
        norms: Mapping[str, Number],
        start: State,
        parameters: Mapping[str, Number],
    ) -> None:
        weights = model.parameter_values(parameters)
        is_mean = model.convention == "mean"
        self.model, self.dims, self.norms, self.start = model, dims, norms, start
        self.targets: dict[str, Number] = {
            m.name: math.prod(norms[f] for f in m.factors) for m in model.mechanisms
        }
        self.sizes: dict[str, Number] = {
            part.name: math.prod(dims[f] for f in part.factors) if is_mean else 1
            for part in model.parts
        }
        self.mu: dict[str, Number] = {m.name: weights[m.name] for m in model.mechanisms}
        self.alpha: dict[str, Number] = {cost.name: weights[cost.name] for cost in model.costs}

    def __repr__(self) -> str:
        parts = (f"{m.name} = {' '.join(m.factors)}" for m in self.model.mechanisms)
        return f"<Problem of {', '.join(parts)}>"

    @cached_property
    def tables(self) -> ProblemTables:
        """The problem for the arithmetic of this module."""
        members, pairs = (
            [tuple(self.model.factors.index(f) for f in part.factors) for part in parts]
            for parts in (self.model.mechanisms, self.model.costs)
        )
        mechanisms = [(mu, self.targets[name], self.sizes[name]) for name, mu in self.mu.items()]
        costs = [(alpha, self.sizes[name]) for name, alpha in self.alpha.items()]
        return ProblemTables(members, pairs, mechanisms, costs)

    def unlearnt_losses(self) -> dict[str, float]:
        """Return each mechanism's loss when it has learnt nothing, S^2 / 2N: the plateau height."""
        return {name: target**2 / (2 * self.sizes[name]) for name, target in self.targets.items()}

    def losses(self, state: State) -> dict[str, Number]:
        """Return the loss of each mechanism and cost by name, and their combination `total`."""
        u, w, squares = state.overlap, state.orthogonal, _squares(state)
        members, pairs, mechanisms, costs = self.tables
        named: dict[str, Number] = {}
        total: Number = 1
        for name, factors, (mu, target, size) in zip(self.mu, members, mechanisms, strict=True):
            named[name] = mechanism_loss(factors, target, size, u, w, squares)
            total = total * (named[name] + mu)
        for name, (x, y), (alpha, size) in zip(self.alpha, pairs, costs, strict=True):
            named[name] = squares[x] * squares[y] / (2 * size)
            total = total + alpha * named[name]
        return named | {"total": total}

    def gradient(self, state: State) -> State:
        """Return the gradient of the total loss."""
        pull, shrink, shrink_w = self._forces(state)
        return State(
            state.factors,
            [p + s * x for p, s, x in zip(pull, shrink, state.overlap, strict=True)],
            [s * x for s, x in zip(shrink_w, state.orthogonal, strict=True)],
        )

    def velocity(self, state: State) -> State:
        """Return minus the gradient times the rates: the flow, and a descent step of size 1."""
        slope = self.gradient(state)
        return slope.with_entries(
            [-r * g for r, g in zip(self.model.rates * 2, slope.entries, strict=True)]
        )

    def transverse_curvature(self, state: State) -> Numbers:
        """Return the second derivative of the loss along x, at right angles to x and its target.

        There are length - 2 such directions, or length - 1 where w = 0; all have the same
        curvature, (dL/dw) / w.
        """
        return self._forces(state)[2]

    def _forces(self, state: State) -> tuple[list[Number], list[Number], list[Number]]:
        u, w, squares = state.overlap, state.orthogonal, _squares(state)
        members, _, mechanisms, _ = self.tables
        offset_losses = [
            mechanism_loss(factors, target, size, u, w, squares) + mu
            for factors, (mu, target, size) in zip(members, mechanisms, strict=True)
        ]
        forces = ([0] * len(u), [0] * len(u), [0] * len(u))
        add_forces(self.tables, u, w, squares, offset_losses, forces)
        return forces


def _squares(state: State) -> list[Number]:
    return [u * u + w * w for u, w in zip(state.overlap, state.orthogonal, strict=True)]


def _reduce(model: Model, draw: InitialState) -> tuple[dict[str, float], State]:
    """Return the target norms and the initial state of vectors."""
    norms, overlap, orthogonal = {}, [], []
    with np.errstate(over="ignore", invalid="ignore"):  # vectors of enormous numbers
        for name, target in draw.target.items():
            norms[name] = float(np.linalg.norm(target))
        for name in model.factors:
            direction = draw.target[name] / norms[name]
            overlap.append(float(draw.initial[name] @ direction))
            rest = draw.initial[name] - overlap[-1] * direction
            orthogonal.append(float(np.linalg.norm(rest)))
    return norms, State(model.factors, overlap, orthogonal)


# The arithmetic.  Numba compiles these functions as they are, for tables that are arrays; rows of
# `members` are then filled up with -1.  A sum or product that starts with an int is exact for
# symbols too.


def product(members: Any, left_out: int, values: Any) -> Number:
    """Return the product of the values of all members but one (-1 leaves out none)."""
    result = 1
    for f in members:
        if f >= 0 and f != left_out:
            result = result * values[f]
    return result


def excess_square(members: Any, left_out: int, u: Any, w: Any, squares: Any) -> Number:
    """Return prod (u^2 + w^2) - prod u^2 as a sum without cancellation."""
    total, aligned = 0, 1
    for f in members:
        if f >= 0 and f != left_out:
            total = total * squares[f] + aligned * (w[f] * w[f])
            aligned = aligned * (u[f] * u[f])
    return total


def mechanism_loss(members: Any, target: Any, size: Any, u: Any, w: Any, squares: Any) -> Number:
    """Return L_m."""
    miss = target - product(members, -1, u)
    return (miss * miss + excess_square(members, -1, u, w, squares)) / (2 * size)


def add_forces(
    tables: ProblemTables, u: Any, w: Any, squares: Any, offset_losses: Any, forces: Any
) -> None:
    """Add the gradient to `forces`, which are zero: it is pull + shrink * u, and shrink_w * w.

    offset_losses : L_m + mu_m
    forces : pull, shrink, shrink_w, each with an entry for every factor
    """
    members, pairs = tables.members, tables.pairs
    pull, shrink, shrink_w = forces
    for m in range(len(members)):
        _, target, size = tables.mechanisms[m]
        others = 1
        for k in range(len(members)):
            if k != m:
                others = others * offset_losses[k]
        coupling = others / size
        error = coupling * (product(members[m], -1, u) - target)
        for x in members[m]:
            if x >= 0:
                pull[x] = pull[x] + error * product(members[m], x, u)
                shrink[x] = shrink[x] + coupling * excess_square(members[m], x, u, w, squares)
                shrink_w[x] = shrink_w[x] + coupling * product(members[m], x, squares)
    for k in range(len(pairs)):
        alpha, size = tables.costs[k]
        for x, y in ((pairs[k][0], pairs[k][1]), (pairs[k][1], pairs[k][0])):
            push = (alpha / size) * squares[y]
            shrink[x] = shrink[x] + push
            shrink_w[x] = shrink_w[x] + push


ARITHMETIC = (product, excess_square, mechanism_loss, add_forces)  # called by `descend_states`
AT_LIMIT, BELOW_THRESHOLD, DIVERGED = range(3)


def descend_states(
    states: Any,
    tables: ProblemTables,
    rates: Any,
    step: float,
    threshold: float,
    diverged_above: float,
) -> tuple[int, int]:
    """Fill `states` (n, 2 * n_factors) from its first row on by gradient descent.

    Returns the last row that is filled, and why it is the last: `AT_LIMIT` (there are no more
    rows), `BELOW_THRESHOLD`, or `DIVERGED` (the loss is above `diverged_above`, or NaN).
    """
    n, members, pairs = len(rates), tables.members, tables.pairs
    squares, offset_losses = np.empty(n), np.empty(len(members))
    pull, shrink, shrink_w = np.empty(n), np.empty(n), np.empty(n)
    for row in range(len(states)):
        u, w = states[row, :n], states[row, n:]
        for x in range(n):
            squares[x] = u[x] * u[x] + w[x] * w[x]
            pull[x] = shrink[x] = shrink_w[x] = 0.0
        total = 1.0
        for m in range(len(members)):
            mu, target, size = tables.mechanisms[m]
            offset_losses[m] = mechanism_loss(members[m], target, size, u, w, squares) + mu
            total = total * offset_losses[m]
        for k in range(len(pairs)):
            alpha, size = tables.costs[k]
            total = total + alpha * (squares[pairs[k][0]] * squares[pairs[k][1]] / (2 * size))
        if total < threshold:
            return row, BELOW_THRESHOLD
        if not total < diverged_above:  # also catches NaN
            return row, DIVERGED
        if row == len(states) - 1:
            break
        add_forces(tables, u, w, squares, offset_losses, (pull, shrink, shrink_w))
        for x in range(n):
            states[row + 1, x] = u[x] + step * (-rates[x] * (pull[x] + shrink[x] * u[x]))
            states[row + 1, n + x] = w[x] + step * (-rates[x] * (shrink_w[x] * w[x]))
    return len(states) - 1, AT_LIMIT
