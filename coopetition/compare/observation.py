"""What the minimal model says of a run's curves.

Each observed curve is taken to be an affine function of one of the toy's losses,

    train  ~  total loss,      icl  ~  L1,      ciwl  ~  L2,

with neither a negative floor (a loss has none) nor a negative gain.  The toy's flow time is
`duration` times the part of the run that has passed.

What a fit takes for granted, and so cannot test:

- mu2 = 0, one rate for all factors, and no time but that of the first and the last sample.
- The toy starts where the run's data start, and collapsed: no orthogonal parts but CIWL's, and b
  = c.  That is the leaf |b|^2 = |c|^2, on which the plateau of docs/theory.md, which needs the two
  unequal, does not occur.
- Targets have the published dimensions and their typical norms, n = sqrt(dimension).  With v = x/n
  each factor moves at the rate 1/n^2; rescaling the flow (a and d by s, b c by 1/s) leaves
  n_d^2 / n_a^2 = 8 as it is.  Other norms are other models, not the same on another scale.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from coopetition.model.presets import CIWL, ICL, PUBLISHED_DIMS, two_strategies
from coopetition.model.problem import Problem, State
from coopetition.tools.machine_code import compiled, jit_source

Array = NDArray[np.float64]

# curve -> the toy's loss that it follows
OBSERVED = {"train": "total", ICL: ICL, CIWL: CIWL}


@dataclass(frozen=True, slots=True)
class Search:
    """Where a parameter is looked for: between two bounds, on a linear or logarithmic scale."""

    lower: float
    upper: float
    logarithmic: bool = True

    def from_unit(self, place: float) -> float:
        """The value at a place between 0, the lower bound, and 1, the upper."""
        if self.logarithmic:
            return self.lower * (self.upper / self.lower) ** place
        return self.lower + (self.upper - self.lower) * place


SEARCH = {
    "alpha": Search(1e-3, 30.0),
    "mu1": Search(1e-4, 10.0),
    # overlaps at the start: about 4 each is learnt.  ICL may start on the wrong side, as it does in
    # the published draw of seed 7.
    "a": Search(-4.0, 4.0, logarithmic=False),
    "b": Search(1e-3, 6.0),
    "d": Search(1e-3, 10.0),
    "d_orthogonal": Search(1e-2, 13.0),  # sqrt(160) = 12.6: a standard normal draw
    "duration": Search(30.0, 8000.0),  # flow time between the first and the last sample
}
# Steps of the integrator.  Some sets in the corners of the search are too stiff for it; they fit
# badly, and the error at the answer is measured and reported.
N_GRID = 250
UNSTABLE = 1e6  # a loss above this is the integrator's, not the toy's


class ToyCurves:
    """The toy's curves at a set of parameters.

    Fixed-step Runge-Kutta of order 4 on the reduced flow, compiled: a fit needs some ten thousand
    short, smooth solutions; its final answer is checked against half the step.
    """

    def __init__(self, position: Array, n_grid: int = N_GRID) -> None:
        """`position` (n,) is where each sample lies between the first (0) and the last (1)."""
        self._grid = np.linspace(0, 1, n_grid + 1)
        self._position = position

    def __call__(self, parameters: dict[str, float]) -> dict[str, Array]:
        """Each observed curve's loss (n,); NaN where the integrator could not follow."""
        state = np.array(start(parameters).start.entries, float)
        losses = np.empty((len(OBSERVED), len(self._grid)))
        step = parameters["duration"] / (len(self._grid) - 1)
        given = state, parameters["mu1"], parameters["alpha"], step, losses
        compiled(solver(), "the fit's toy", *given)(*given)
        losses[~(losses < UNSTABLE)] = np.nan  # also what is NaN already
        return {
            curve: np.interp(self._position, self._grid, row)
            for curve, row in zip(OBSERVED, losses, strict=True)
        }


def start(parameters: dict[str, Any]) -> Problem:
    """The problem at a fit's parameters."""
    a, b, d = (parameters[name] for name in ("a", "b", "d"))
    state = State(("a", "b", "c", "d"), [a, b, b, d], [0.0, 0.0, 0.0, parameters["d_orthogonal"]])
    return _problem(state, parameters["mu1"], parameters["alpha"])


def _problem(state: State, mu1: Any, alpha: Any) -> Problem:
    norms = {name: math.sqrt(length) for name, length in PUBLISHED_DIMS.items()}
    weights = {"mu1": mu1, "alpha": alpha}
    return Problem.of_numbers(
        two_strategies(), PUBLISHED_DIMS, norms, start=state, parameters=weights
    )


# of the generated module, after `velocity` and `losses`
RUNGE_KUTTA = """
@njit(error_model="numpy")
def moved(x, by, slope):
    y = empty_like(x)
    for i in range(len(x)):
        y[i] = x[i] + by * slope[i]
    return y

def runge_kutta(x, mu1, alpha, step, samples):
    for k in range(samples.shape[1]):
        row = losses(x, mu1, alpha)
        for i in range(samples.shape[0]):
            samples[i, k] = row[i]
        first = velocity(x, mu1, alpha)
        second = velocity(moved(x, step / 2, first), mu1, alpha)
        third = velocity(moved(x, step / 2, second), mu1, alpha)
        fourth = velocity(moved(x, step, third), mu1, alpha)
        for i in range(len(x)):
            x[i] += step / 6 * (first[i] + 2 * second[i] + 2 * third[i] + fourth[i])
"""


@cache
def solver() -> Callable[[Array, float, float, float, Array], None]:
    """`solve(state, mu1, alpha, step, losses)`, to be `compiled`: fills `losses` along the flow.

    The velocity and the losses are `Problem`'s, taken at symbols.
    """
    x, (mu1, alpha) = sp.symbols("x:8", real=True), sp.symbols("mu1 alpha", real=True)
    state = State(("a", "b", "c", "d"), x[:4], x[4:])
    problem = _problem(state, mu1, alpha)
    losses = problem.losses(state)

    source = [
        "from numba import njit\nfrom numpy import empty_like\n",
        _function("velocity", problem.velocity(state).entries),
        _function("losses", [losses[name] for name in OBSERVED.values()]),
        RUNGE_KUTTA,
    ]
    return jit_source("\n".join(source), "runge_kutta")


def _function(name: str, values: list[Any]) -> str:
    """Python source of a compiled function of (x, mu1, alpha)."""
    # a clamped factor's velocity is a whole number, but all must be of one type
    floats = [sp.Float(v) if sp.sympify(v).is_number else v for v in values]
    steps, results = sp.cse(floats)
    lines = [
        "x0, x1, x2, x3, x4, x5, x6, x7 = x",
        *(f"{symbol} = {sp.pycode(value)}" for symbol, value in steps),
        f"return {', '.join(str(sp.pycode(value)) for value in results)}",
    ]
    head = f'@njit(error_model="numpy")\ndef {name}(x, mu1, alpha):\n'
    return head + "".join(f"    {line}\n" for line in lines)
