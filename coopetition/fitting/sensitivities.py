"""Theories that are flows: ordinary differential equations, compiled with their sensitivities.

A flow is given by symbols: dx/dt = velocity(x, p) from x(0) = start(p), and its observed
outputs(x, p).  The state and its derivatives by p (`formulas`) are integrated together, by
Runge-Kutta of order 4 with fixed steps; since the method is smooth, the derivatives are exactly
those of what it computes.
"""

from dataclasses import dataclass, replace
from typing import Any

import sympy as sp

from coopetition.fitting.formulas import Expression, generate_function
from coopetition.fitting.theory import OUTPUTS, CompiledTheory

STEPS = 250  # in a unit of time


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Flow(CompiledTheory):
    """A theory given by differential equations: a state that starts somewhere, and its velocity.

    It is integrated in fixed steps, together with its derivatives by the parameters.  Curves are
    linear between the steps.

    state : symbols x
    start, velocity : an expression for each entry of the state
    steps : of the integrator, in a unit of time
    """

    state: tuple[sp.Symbol, ...]
    start: tuple[Expression, ...]
    velocity: tuple[Expression, ...]
    steps: int = STEPS

    def finer(self) -> "Flow":
        """Return the theory with twice as many steps."""
        finer = replace(self, steps=2 * self.steps)
        vars(finer)["_solvers"] = self._solvers  # which do not depend on them
        return finer

    def _solve(self, *arguments: Any) -> Any:
        return super()._solve(*arguments, self.steps)

    def _source(self, n_columns: int) -> list[str]:
        x, p, outputs = self.state, self.symbols, [self.outputs[o] for o in OUTPUTS]
        return [
            f"M, OUT = {len(x) * (1 + n_columns)}, {len(outputs) * (1 + n_columns)}",
            generate_function("start_", self.start, [], p, n_columns),
            generate_function("velocity_", self.velocity, x, p, n_columns),
            generate_function("outputs_", outputs, x, p, n_columns),
            RUNGE_KUTTA,
        ]


# between two steps, outputs are linear: a step at k has the share 1 - |t - k| of those at t
RUNGE_KUTTA = """
UNSTABLE = 1e6  # a larger output is the integrator's failure

@njit
def move(x, by, velocity, y):
    for i in range(M):
        y[i] = x[i] + by * velocity[i]

def solve(p, times, outputs, slopes, steps):
    x, y, v1, v2, v3, v4 = empty(M), empty(M), empty(M), empty(M), empty(M), empty(M)
    seen, step = empty(OUT), 1 / steps
    last_step = max(1, math.ceil(times[-1] * steps - 1e-9))
    before = now = 0  # first samples of the step before k, and of that after it
    start_(x, p, x)
    for k in range(last_step + 1):
        after = now
        while after < len(times) and (times[after] * steps < k + 1 or k == last_step - 1):
            after += 1
        if before < after:
            outputs_(x, p, seen)
            for o in range(len(outputs)):
                if not abs(seen[o]) < UNSTABLE:
                    seen[o] = nan
            for i in range(before, after):
                add(1 - abs(min(times[i] * steps, last_step) - k), seen, i, outputs, slopes)
        before, now = now, after
        velocity_(x, p, v1)
        move(x, step / 2, v1, y)
        velocity_(y, p, v2)
        move(x, step / 2, v2, y)
        velocity_(y, p, v3)
        move(x, step, v3, y)
        velocity_(y, p, v4)
        for i in range(M):
            x[i] += step / 6 * (v1[i] + 2 * v2[i] + 2 * v3[i] + v4[i])
"""
