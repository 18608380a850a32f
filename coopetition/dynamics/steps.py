"""Compiled gradient descent of one problem of any model, compiled once a machine.

The arithmetic is that of `Problem`, operation by operation, so that the two agree bit by bit: a
model enters as tables of which factor is in which part.  (Many problems of one model at once have
kernels of their own, in which the model is spelt out: `coopetition.dynamics.ensemble`.)
"""

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from coopetition.model.reduced import Problem, State
from coopetition.tools.compiled_code import ensure_compiled, jit

Array = NDArray[np.float64]
Tables = tuple[NDArray[np.int64], NDArray[np.int64], Array, Array, Array]
GOES_ON, STOPPED, DIVERGED = range(3)


def tables(problem: Problem) -> Tables:
    """Factors of each mechanism (filled up with -1) and of each cost; their numbers; the rates."""
    model = problem.model
    place = {f: k for k, f in enumerate(model.factors)}
    longest = max(len(m.factors) for m in model.mechanisms)
    members = np.full((len(model.mechanisms), longest), -1)
    for row, m in zip(members, model.mechanisms, strict=True):
        row[: len(m.factors)] = [place[f] for f in m.factors]
    pairs = np.array([[place[f] for f in c.factors] for c in model.costs], int).reshape(-1, 2)
    mechanisms = [
        (problem.mu[m.name], problem.targets[m.name], problem.sizes[m.name])
        for m in model.mechanisms
    ]
    costs = [(problem.alpha[c.name], problem.sizes[c.name]) for c in model.costs]
    return (
        members,
        pairs,
        np.array(mechanisms, float),
        np.array(costs, float).reshape(-1, 2),
        np.array(model.rates, float),
    )


def take_steps(
    problem: Problem, state: State, n_steps: int, step: float, threshold: float, diverged: float
) -> tuple[Array, int]:
    """States (n, 2 * n_factors) from `state` on, and why they end: a stop is the last of them."""
    states = np.empty((n_steps + 1, len(state.entries)))
    states[0] = state.entries
    given = states, *tables(problem), float(step), float(threshold), float(diverged)
    n, ending = ensure_compiled(_take_steps, "gradient descent", *given)(*given)
    return states[: n + 1], ending


@numba.njit(error_model="numpy")
def _excess(members: Any, leave_out: int, u: Any, w: Any, squares: Any) -> float:
    """Prod (u^2 + w^2) - prod u^2 without cancellation (`coopetition.model.reduced`)."""
    total, aligned = 0.0, 1.0
    for f in members:
        if f >= 0 and f != leave_out:
            total = total * squares[f] + aligned * (w[f] * w[f])
            aligned = aligned * (u[f] * u[f])
    return total


@numba.njit(error_model="numpy")
def _product(members: Any, leave_out: int, values: Any) -> float:
    product = 1.0
    for f in members:
        if f >= 0 and f != leave_out:
            product = product * values[f]
    return product


@jit
def _take_steps(
    states: Any,
    members: Any,
    pairs: Any,
    mechanisms: Any,
    costs: Any,
    rates: Any,
    step: float,
    threshold: float,
    diverged: float,
) -> tuple[int, int]:
    n = len(rates)
    squares, pull, shrink, shrink_w = np.empty(n), np.empty(n), np.empty(n), np.empty(n)
    offset_losses = np.empty(len(members))
    for done in range(len(states)):
        u, w = states[done, :n], states[done, n:]
        for x in range(n):
            squares[x] = u[x] * u[x] + w[x] * w[x]
            pull[x] = shrink[x] = shrink_w[x] = 0.0
        total = 1.0
        for m in range(len(members)):
            mu, target, size = mechanisms[m]
            miss = target - _product(members[m], -1, u)
            loss = (miss * miss + _excess(members[m], -1, u, w, squares)) / (2 * size)
            offset_losses[m] = loss + mu
            total = total * offset_losses[m]
        for k in range(len(pairs)):
            alpha, size = costs[k]
            total = total + alpha * (squares[pairs[k, 0]] * squares[pairs[k, 1]] / (2 * size))
        if total < threshold:
            return done, STOPPED
        if not total < diverged:  # also catches NaN
            return done, DIVERGED
        if done == len(states) - 1:
            break
        for m in range(len(members)):
            _, target, size = mechanisms[m]
            others = 1.0
            for k in range(len(members)):
                if k != m:
                    others = others * offset_losses[k]
            coupling = others / size
            error = coupling * (_product(members[m], -1, u) - target)
            for x in members[m]:
                if x >= 0:
                    pull[x] = pull[x] + error * _product(members[m], x, u)
                    shrink[x] = shrink[x] + coupling * _excess(members[m], x, u, w, squares)
                    shrink_w[x] = shrink_w[x] + coupling * _product(members[m], x, squares)
        for k in range(len(pairs)):
            alpha, size = costs[k]
            for x, y in ((pairs[k, 0], pairs[k, 1]), (pairs[k, 1], pairs[k, 0])):
                push = (alpha / size) * squares[y]
                shrink[x] = shrink[x] + push
                shrink_w[x] = shrink_w[x] + push
        for x in range(n):
            slope_u = pull[x] + shrink[x] * u[x]
            slope_w = shrink_w[x] * w[x]
            states[done + 1, x] = u[x] + step * (-rates[x] * slope_u)
            states[done + 1, n + x] = w[x] + step * (-rates[x] * slope_w)
    return len(states) - 1, GOES_ON
