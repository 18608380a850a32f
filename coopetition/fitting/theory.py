"""Define what a theory of loss curves is: the contract of the toy and of its rivals.

A theory says how errors fall over a stretch of training, in its own units: the errors of `train`
sequences, and of those that only one strategy solves, `icl` and `ciwl`; and which strategy is
preferred where the two disagree (`preference`, above 0: ICL).  How errors become measured curves is
described in `coopetition.fitting.observation`.

`coopetition.fitting.registry` has the theories that commands know by name; functions take any other
`Theory` as an object.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from coopetition.fitting.curves import FITTED_CURVES
from coopetition.fitting.formulas import HEAD, Expression, generate_function
from coopetition.tools.compiled_code import ensure_compiled, jit_source

Array = NDArray[np.float64]

PREFERENCE = "preference"
OUTPUTS = (*FITTED_CURVES, PREFERENCE)
TIME = sp.Symbol("t", nonnegative=True)
"""The symbol of time in the formulas of a `ClosedForm`: 0 to 1 over the fitted part of training."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """A free number of a theory, and the range in which it is searched.

    lower, upper : bounds, in the theory's own unit of time if `per_time` is not 0
    logarithmic : whether the search range has a logarithmic scale
    per_time : power of 1 / time in its unit: 1 for a rate, -1 for a time
    """

    name: str
    description: str
    lower: float
    upper: float
    logarithmic: bool = True
    per_time: int = 0

    def from_unit(self, x: Any) -> Any:
        """Return values at places x from 0, the lower bound, to 1, the upper."""
        if self.logarithmic:
            return self.lower * (self.upper / self.lower) ** x
        return self.lower + (self.upper - self.lower) * x

    def to_unit(self, value: float) -> float:
        """Return the place of a value between the bounds; the inverse of `from_unit`."""
        if self.logarithmic:
            return float(np.log(value / self.lower) / np.log(self.upper / self.lower))
        return (value - self.lower) / (self.upper - self.lower)

    def derivative(self, value: float) -> float:
        """Return the derivative of `from_unit` where it gives the value."""
        if self.logarithmic:
            return value * math.log(self.upper / self.lower)
        return self.upper - self.lower


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Theory(ABC):
    """A family of curves over time, with their derivatives by the parameters.

    name : the name in commands
    title : a description in a few words
    source : the publication
    unlearnt : the error of a strategy that has learnt nothing
    has_readout : whether errors are shares of wrong answers by `coopetition.fitting.readout`
    has_levels : whether a measured curve has a floor and a gain of its own
    """

    name: str
    title: str
    source: str
    parameters: tuple[Parameter, ...]
    unlearnt: float = 1.0
    has_readout: bool = False
    has_levels: ClassVar[bool] = True

    @abstractmethod
    def curves(self, values: Array, times: Array) -> Array:
        """Return the curves of `curve_names`, a row each, at rising times (n,) from 0.

        The unit of time is the stretch of training: it ends at 1.  Values that cannot be computed
        are NaN.
        """

    @abstractmethod
    def curves_and_jacobian(self, values: Array, times: Array) -> tuple[Array, Array]:
        """Return the curves, and their derivatives by the parameters, as a third axis."""

    def finer(self) -> "Theory":
        """Return the theory with smaller steps, if it is computed in steps."""
        return self

    def __getstate__(self) -> dict[str, Any]:
        """Leave out compiled functions, which are made again on demand."""
        return {name: value for name, value in vars(self).items() if not name.startswith("_")}

    def __repr__(self) -> str:
        return f"<Theory {self.name}: {', '.join(self.names)}>"

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the parameters."""
        return tuple(each.name for each in self.parameters)

    @property
    def curve_names(self) -> tuple[str, ...]:
        """Return the names of the curves, in order."""
        return OUTPUTS

    @property
    def fitted_curves(self) -> tuple[str, ...]:
        """Return the names of the curves that are fitted."""
        return tuple(name for name in self.curve_names if name != PREFERENCE)


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class CompiledTheory(Theory):
    """A theory of formulas, which are compiled with their derivatives by the parameters.

    symbols : those of the parameters, in their order
    outputs : expressions by name, for train, icl, ciwl and preference
    """

    symbols: tuple[sp.Symbol, ...]
    outputs: dict[str, Expression]

    def curves(self, values: Array, times: Array) -> Array:
        """Return the curves; see `Theory`."""
        return self._solve(values, times, 0)[0]

    def curves_and_jacobian(self, values: Array, times: Array) -> tuple[Array, Array]:
        """Return the curves and their symbolic derivatives; see `Theory`."""
        return self._solve(values, times, len(values))

    def _solve(
        self, values: Array, times: Array, n_columns: int, *settings: int
    ) -> tuple[Array, Array]:
        values, times = (np.ascontiguousarray(each, float) for each in (values, times))
        outputs = np.zeros((len(OUTPUTS), len(times)))
        slopes = np.zeros((*outputs.shape, n_columns))
        arguments = values, times, outputs, slopes, *settings
        if n_columns not in self._solvers:
            source = [f"Q = {n_columns}", HEAD, *self._source(n_columns)]
            solver = self._solvers[n_columns] = jit_source("\n".join(source), "solve")
            with_slopes = " with derivatives" if n_columns else ""
            ensure_compiled(solver, f"the theory {self.name}{with_slopes}", *arguments)
        self._solvers[n_columns](*arguments)
        return outputs, slopes

    @cached_property
    def _solvers(self) -> dict[int, Callable[..., None]]:
        """Compiled functions that fill outputs and slopes, by the number of columns, 0 or all."""
        return {}

    @abstractmethod
    def _source(self, n_columns: int) -> list[str]:
        """Return what follows `HEAD` in the generated module, with the function `solve`."""


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class ClosedForm(CompiledTheory):
    """A theory whose outputs are formulas of `TIME` and of the parameters' symbols, in order."""

    def _source(self, n_columns: int) -> list[str]:
        outputs, arguments = [self.outputs[name] for name in OUTPUTS], [*self.symbols, TIME]
        return [generate_function("outputs_", outputs, [], arguments, n_columns), EACH_TIME]


EACH_TIME = """
def solve(p, times, outputs, slopes):
    arguments, y = empty(len(p) + 1), empty(len(outputs) * (1 + Q))
    arguments[:-1] = p
    for k in range(len(times)):
        arguments[-1] = times[k]
        outputs_(y, arguments, y)
        add(1.0, y, k, outputs, slopes)
"""


def logistic(x: Any) -> Any:
    """Return the logistic function, in a form that does not overflow."""
    return (1 + sp.tanh(x / 2)) / 2
