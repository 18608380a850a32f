"""Theories that are flows: ordinary differential equations, compiled with their sensitivities.

A flow is given by symbols: dx/dt = velocity(x, p) from x(0) = start(p), and its observed
outputs(x, p).  With J = d velocity / dx, its sensitivity S = dx/dp obeys

    dS/dt = J S + d velocity / dp,        S(0) = d start / dp,

and d output / dp follows by the chain rule.  Both are integrated together by Runge-Kutta of order 4
with fixed steps; since the method is smooth, S is the exact derivative of what it computes.  All
derivatives are symbolic, and compiled once.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from coopetition.fitting.theory import OUTPUTS, Theory
from coopetition.tools.compiled_code import ensure_compiled, jit_source

Array = NDArray[np.float64]
Expression = Any  # sympy's

STEPS = 250  # in a unit of time
UNSTABLE = 1e6  # a larger output is the integrator's failure


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Flow(Theory):
    """A theory given by differential equations: a state that starts somewhere, and its velocity.

    It is integrated in fixed steps, together with its derivatives by the parameters.

    state : symbols x;  symbols : those of the parameters, in their order
    start, velocity : an expression for each entry of the state
    outputs : expressions by name, for train, icl, ciwl and preference
    steps : of the integrator, in a unit of time
    """

    state: tuple[sp.Symbol, ...]
    symbols: tuple[sp.Symbol, ...]
    start: tuple[Expression, ...]
    velocity: tuple[Expression, ...]
    outputs: dict[str, Expression]
    steps: int = STEPS

    def curves(self, values: Array, times: Array) -> Array:
        """Integrate the flow; linear between the integrator's steps; see `Theory`."""
        return self._integrate(values, times, 0)[0]

    def curves_and_jacobian(self, values: Array, times: Array) -> tuple[Array, Array]:
        """Integrate the flow with its sensitivities; see `Theory`."""
        return self._integrate(values, times, len(values))

    def finer(self) -> "Flow":
        """Return the theory with twice as many steps."""
        finer = replace(self, steps=2 * self.steps)
        vars(finer)["_solver"] = self._solver  # which does not depend on them
        return finer

    def _integrate(self, values: Array, times: Array, n_columns: int) -> tuple[Array, Array]:
        n_steps = max(1, int(np.ceil(times[-1] * self.steps - 1e-9)))
        outputs = np.empty((len(OUTPUTS), n_steps + 1))
        jacobian = np.empty((len(OUTPUTS), n_steps + 1, n_columns))
        self._solver(np.ascontiguousarray(values, float), 1 / self.steps, outputs, jacobian)
        outputs[~(np.abs(outputs) < UNSTABLE)] = np.nan  # also where it is NaN already
        position = np.clip(times * self.steps, 0, n_steps)
        before = np.minimum(position.astype(int), n_steps - 1)
        share = position - before
        between = (1 - share) * outputs[:, before] + share * outputs[:, before + 1]
        share = share[:, None]
        with np.errstate(invalid="ignore"):  # where the integrator failed
            slopes = (1 - share) * jacobian[:, before] + share * jacobian[:, before + 1]
        return between, slopes

    @cached_property
    def _solver(self) -> Callable[[Array, float, Array, Array], None]:
        """Return `solve(p, step, outputs, slopes)`, which fills both arrays along the flow."""
        x, p = self.state, self.symbols
        velocity, seen = sp.Matrix(self.velocity), sp.Matrix([self.outputs[o] for o in OUTPUTS])
        start = sp.Matrix(self.start)
        source = [
            "from numba import njit",
            "from numpy import empty, zeros",
            f"M, OUT = {len(x)}, {len(OUTPUTS)}",
            _generate("start_", [], p, y=start, Y=start.jacobian(p)),
            _generate("velocity_", x, p, y=velocity),
            _generate("jacobians_", x, p, J=velocity.jacobian(x), B=velocity.jacobian(p)),
            _generate("seen_", x, p, y=seen),
            _generate("seen_slopes_", x, p, J=seen.jacobian(x), B=seen.jacobian(p)),
            RUNGE_KUTTA,
        ]
        solver = jit_source("\n".join(source), "solve")
        sizes = len(p), (len(OUTPUTS), 1), (len(OUTPUTS), 1, 0)
        values, outputs, jacobian = (np.zeros(size) for size in sizes)
        return ensure_compiled(solver, f"the theory {self.name}", values, 0.1, outputs, jacobian)


def _generate(
    name: str, state: Sequence[sp.Symbol], symbols: Sequence[sp.Symbol], **arrays: sp.Matrix
) -> str:
    """Return the source of a compiled function of (x, p, arrays) that fills arrays with matrices.

    The array `y` is a vector.
    """
    entries = {
        f"{array}[{i}]" if array == "y" else f"{array}[{i}, {j}]": sp.sympify(matrix[i, j])
        for array, matrix in arrays.items()
        for i in range(matrix.rows)
        for j in range(matrix.cols)
    }
    intermediate, values = sp.cse(list(entries.values()))
    lines = [
        *(f"{symbol} = x[{k}]" for k, symbol in enumerate(state)),
        *(f"{symbol} = p[{k}]" for k, symbol in enumerate(symbols)),
        *(f"{symbol} = {sp.pycode(value)}" for symbol, value in intermediate),
        *(f"{entry} = {sp.pycode(value)}" for entry, value in zip(entries, values, strict=True)),
    ]
    head = f'@njit(error_model="numpy")\ndef {name}(x, p, {", ".join(arrays)}):\n'
    return "from math import *\nimport math\n" + head + "".join(f"    {line}\n" for line in lines)


# end of the generated module; without sensitivities (Q = 0), only the flow is integrated
RUNGE_KUTTA = """
@njit(error_model="numpy")
def chain(J, B, S, result):
    for i in range(J.shape[0]):
        for q in range(S.shape[1]):
            result[i, q] = B[i, q]
        for j in range(M):
            factor = J[i, j]
            for q in range(S.shape[1]):  # innermost: the compiler computes several at once
                result[i, q] += factor * S[j, q]

@njit(error_model="numpy")
def slope(x, S, p, dx, dS, J, B):
    velocity_(x, p, dx)
    if S.shape[1]:
        jacobians_(x, p, J, B)
        chain(J, B, S, dS)

@njit(error_model="numpy")
def moved(x, S, by, dx, dS, y, Y):
    for i in range(M):
        y[i] = x[i] + by * dx[i]
        for q in range(S.shape[1]):
            Y[i, q] = S[i, q] + by * dS[i, q]

@njit(error_model="numpy")
def look(x, S, p, k, outputs, slopes, row, J, B):
    seen_(x, p, row)
    for o in range(OUT):
        outputs[o, k] = row[o]
    if S.shape[1]:
        seen_slopes_(x, p, J, B)
        chain(J, B, S, slopes[:, k])

def solve(p, step, outputs, slopes):
    Q = slopes.shape[2]
    x, y, S, Y = empty(M), empty(M), zeros((M, len(p))), empty((M, Q))
    start_(x, p, x, S)
    S = S[:, :Q].copy()
    J, B, row = empty((M, M)), empty((M, len(p))), empty(OUT)
    J_out, B_out = empty((OUT, M)), empty((OUT, len(p)))
    dx, dS = empty((4, M)), empty((4, M, Q))
    for k in range(outputs.shape[1]):
        look(x, S, p, k, outputs, slopes, row, J_out, B_out)
        slope(x, S, p, dx[0], dS[0], J, B)
        moved(x, S, step / 2, dx[0], dS[0], y, Y)
        slope(y, Y, p, dx[1], dS[1], J, B)
        moved(x, S, step / 2, dx[1], dS[1], y, Y)
        slope(y, Y, p, dx[2], dS[2], J, B)
        moved(x, S, step, dx[2], dS[2], y, Y)
        slope(y, Y, p, dx[3], dS[3], J, B)
        for i in range(M):
            x[i] += step / 6 * (dx[0, i] + 2 * dx[1, i] + 2 * dx[2, i] + dx[3, i])
            for q in range(Q):
                S[i, q] += step / 6 * (
                    dS[0, i, q] + 2 * dS[1, i, q] + 2 * dS[2, i, q] + dS[3, i, q]
                )
"""
