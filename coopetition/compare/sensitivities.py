"""Theories that are flows: ordinary differential equations, compiled with their sensitivities.

A flow is given by symbols: dx/dt = velocity(x, p) from x(0) = start(p), and what is seen of it,
outputs(x, p).  With J = d velocity / dx, its sensitivity S = dx/dp obeys

    dS/dt = J S + d velocity / dp,        S(0) = d start / dp,

and d output / dp is the chain rule's.  Both are integrated together by Runge-Kutta of order 4 with
fixed steps; as the method is smooth, S is the exact derivative of what it computes.  All is derived
from the symbols, once, and compiled.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from coopetition.compare.theory import OUTPUTS, Parameter, Theory
from coopetition.tools.compiled_code import ensure_compiled, jit_source

Array = NDArray[np.float64]
Expression = Any  # sympy's

STEPS = 250  # in a unit of time
UNSTABLE = 1e6  # a value above this is the integrator's, not the flow's


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Flow(Theory):
    """A theory that is a flow; see the module.

    state : symbols x;  symbols : of the parameters, in their order
    start, velocity : an expression for each entry of the state
    outputs : expression by name, of `OUTPUTS`
    steps : of the integrator, in a unit of time
    """

    name: str
    title: str
    source: str
    parameters: tuple[Parameter, ...]
    state: tuple[sp.Symbol, ...]
    symbols: tuple[sp.Symbol, ...]
    start: tuple[Expression, ...]
    velocity: tuple[Expression, ...]
    outputs: dict[str, Expression]
    steps: int = STEPS

    def curves(self, values: Array, times: Array) -> Array:
        """See `Theory`; linear between the integrator's steps."""
        return self._solved(values, times, 0)[0]

    def curves_and_slopes(self, values: Array, times: Array) -> tuple[Array, Array]:
        """See `Theory`."""
        return self._solved(values, times, len(values))

    def finer(self) -> "Flow":
        """See `Theory`: with twice as many steps."""
        finer = replace(self, steps=2 * self.steps)
        vars(finer)["_solver"] = self._solver  # which does not depend on them
        return finer

    def _solved(self, values: Array, times: Array, n_slopes: int) -> tuple[Array, Array]:
        n_steps = max(1, int(np.ceil(times[-1] * self.steps - 1e-9)))

        outputs = np.empty((len(OUTPUTS), n_steps + 1))
        slopes = np.empty((len(OUTPUTS), n_steps + 1, n_slopes))
        given = np.ascontiguousarray(values, float), 1 / self.steps, outputs, slopes
        ensure_compiled(self._solver, f"the theory {self.name}", *given)(*given)
        outputs[~(np.abs(outputs) < UNSTABLE)] = np.nan  # also what is NaN already
        place = np.clip(times * self.steps, 0, n_steps)
        before = np.minimum(place.astype(int), n_steps - 1)
        share = place - before
        between = (1 - share) * outputs[:, before] + share * outputs[:, before + 1]
        share = share[:, None]
        return between, (1 - share) * slopes[:, before] + share * slopes[:, before + 1]

    @cached_property
    def _solver(self) -> Callable[[Array, float, Array, Array], None]:
        """`solve(p, step, outputs, slopes)` fills `outputs` and `slopes` along the flow."""
        x, p = self.state, self.symbols
        velocity, seen = sp.Matrix(self.velocity), sp.Matrix([self.outputs[o] for o in OUTPUTS])
        start = sp.Matrix(self.start)
        source = [
            "from numba import njit",
            "from numpy import empty, zeros",
            f"M, OUT = {len(x)}, {len(OUTPUTS)}",
            _filling("start_", [], p, y=start, Y=start.jacobian(p)),
            _filling("velocity_", x, p, y=velocity),
            _filling("jacobians_", x, p, J=velocity.jacobian(x), B=velocity.jacobian(p)),
            _filling("seen_", x, p, y=seen),
            _filling("seen_slopes_", x, p, J=seen.jacobian(x), B=seen.jacobian(p)),
            RUNGE_KUTTA,
        ]
        return jit_source("\n".join(source), "solve")


def _filling(
    name: str, state: Sequence[sp.Symbol], symbols: Sequence[sp.Symbol], **filled: sp.Matrix
) -> str:
    """Source of a compiled function of (x, p, arrays) that fills arrays with matrices."""
    places = {
        (array, i, j): sp.sympify(matrix[i, j])
        for array, matrix in filled.items()
        for i in range(matrix.rows)
        for j in range(matrix.cols)
    }
    steps, values = sp.cse(list(places.values()))
    given = [f"{s} = x[{k}]" for k, s in enumerate(state)]
    given += [f"{s} = p[{k}]" for k, s in enumerate(symbols)]
    vectors = {array for array, matrix in filled.items() if matrix.cols == 1 and array == "y"}
    lines = [
        *given,
        *(f"{symbol} = {sp.pycode(value)}" for symbol, value in steps),
        *(
            f"{array}[{i}]" * (array in vectors)
            + f"{array}[{i}, {j}]" * (array not in vectors)
            + f" = {sp.pycode(value)}"
            for (array, i, j), value in zip(places, values, strict=True)
        ),
    ]
    head = f'@njit(error_model="numpy")\ndef {name}(x, p, {", ".join(filled)}):\n'
    return "from math import *\nimport math\n" + head + "".join(f"    {line}\n" for line in lines)


# of the generated module, after the functions that fill arrays; Q sensitivities, none if Q = 0
RUNGE_KUTTA = """
@njit(error_model="numpy")
def slope(x, S, p, dx, dS, J, B):
    velocity_(x, p, dx)
    if S.shape[1]:
        jacobians_(x, p, J, B)
        for i in range(M):
            for q in range(S.shape[1]):
                total = B[i, q]
                for j in range(M):
                    total += J[i, j] * S[j, q]
                dS[i, q] = total

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
        for o in range(OUT):
            for q in range(S.shape[1]):
                total = B[o, q]
                for j in range(M):
                    total += J[o, j] * S[j, q]
                slopes[o, k, q] = total

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
