"""What a theory of loss curves is: the contract of the toy and of its rivals.

A theory says how errors fall over a stretch of training, in its own units: of `train` sequences,
and of those that only one strategy solves, `icl` and `ciwl`; and which strategy is preferred where
the two disagree (`preference`, above 0: ICL).  How that is seen in a measured curve is not its
business (`coopetition.compare.least_squares`).

A theory is a file in `coopetition.compare.theories`, with the value `THEORY`.  Nothing else lists
it.

Theories whose curves are formulas of time; their derivatives come from the symbols.
"""

import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import import_module
from typing import Any

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from coopetition.model.presets import CIWL, ICL
from coopetition.tools.errors import UsageError

Array = NDArray[np.float64]

CURVES = ("train", ICL, CIWL)
OUTPUTS = (*CURVES, "preference")


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """A number that a theory leaves open, and where it is looked for.

    lower, upper : bounds, in the theory's own unit of time where `per_time` is not 0
    logarithmic : whether it is searched on a logarithmic scale
    per_time : it counts events per unit of time to this power: a rate 1, a time -1
    """

    name: str
    what: str
    lower: float
    upper: float
    logarithmic: bool = True
    per_time: int = 0

    def from_unit(self, place: Any) -> Any:
        """Values at places (numbers or arrays) between 0, the lower bound, and 1, the upper."""
        if self.logarithmic:
            return self.lower * (self.upper / self.lower) ** place
        return self.lower + (self.upper - self.lower) * place

    def to_unit(self, value: float) -> float:
        """The inverse of `from_unit`."""
        if self.logarithmic:
            return float(np.log(value / self.lower) / np.log(self.upper / self.lower))
        return (value - self.lower) / (self.upper - self.lower)

    def slope(self, value: float) -> float:
        """Derivative of the value by its place."""
        if self.logarithmic:
            return value * float(np.log(self.upper / self.lower))
        return self.upper - self.lower


class Theory(ABC):
    """A family of curves over time, and how they move with its parameters.

    name : what commands call it
    title : in words
    source : where it comes from
    parameters : what it leaves open
    """

    name: str
    title: str
    source: str
    parameters: tuple[Parameter, ...]

    @abstractmethod
    def curves(self, values: Array, times: Array) -> Array:
        """`OUTPUTS` (4, n) at rising times (n,) from 0; NaN where it cannot be computed.

        Time is in units of a stretch of training: 1 is its end.
        """

    @abstractmethod
    def curves_and_slopes(self, values: Array, times: Array) -> tuple[Array, Array]:
        """The same, and derivatives by each parameter (4, n, parameters)."""

    def finer(self) -> "Theory":
        """The same computed more finely, where it is computed in steps."""
        return self

    def __getstate__(self) -> dict[str, Any]:
        """Its fields, without compiled functions, which are made again when they are needed."""
        return {name: value for name, value in vars(self).items() if not name.startswith("_")}

    def __repr__(self) -> str:
        return f"<Theory {self.name}: {', '.join(each.name for each in self.parameters)}>"

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters' names."""
        return tuple(each.name for each in self.parameters)


@cache
def theories() -> dict[str, Theory]:
    """All theories by name, the toy first."""
    package = import_module("coopetition.compare.theories")
    modules = pkgutil.iter_modules(package.__path__, f"{package.__name__}.")
    found = [
        value
        for each in modules
        for name, value in vars(import_module(each.name)).items()
        if name.startswith("THEORY")
    ]
    return {
        each.name: each for each in sorted(found, key=lambda each: (each.name != TOY, each.name))
    }


TOY = "toy"


def theory_of(name: str) -> Theory:
    """The theory of a name; another raises `UsageError`."""
    if name not in theories():
        raise UsageError(f"theory {name!r} is unknown; choose one of {', '.join(theories())}")
    return theories()[name]


TIME = sp.Symbol("t", nonnegative=True)


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class ClosedForm(Theory):
    """A theory that is formulas of `TIME` and of `symbols`, the parameters' in their order."""

    name: str
    title: str
    source: str
    parameters: tuple[Parameter, ...]
    symbols: tuple[sp.Symbol, ...]
    outputs: dict[str, Any]

    def curves(self, values: Array, times: Array) -> Array:
        """See `Theory`."""
        return _spread(self._formulas(times, *values), times)

    def curves_and_slopes(self, values: Array, times: Array) -> tuple[Array, Array]:
        """See `Theory`."""
        found = _spread(self._slopes(times, *values), times)
        shape = len(OUTPUTS), len(self.parameters), len(times)
        return self.curves(values, times), found.reshape(shape).swapaxes(1, 2)

    @cached_property
    def _formulas(self) -> Callable[..., Any]:
        return self._function([self.outputs[name] for name in OUTPUTS])

    @cached_property
    def _slopes(self) -> Callable[..., Any]:
        outputs = [self.outputs[name] for name in OUTPUTS]
        return self._function([sp.diff(o, p) for o in outputs for p in self.symbols])

    def _function(self, expressions: list[Any]) -> Callable[..., Any]:
        function = sp.lambdify((TIME, *self.symbols), expressions, "numpy", cse=True)

        def quiet(*arguments: Any) -> Any:
            with np.errstate(all="ignore"):  # what overflows is not finite, and counts as such
                return function(*arguments)

        return quiet


def _spread(rows: list[Any], times: Array) -> Array:
    """Rows (k, n), of which some may be constants."""
    return np.stack([np.broadcast_to(np.asarray(row, float), times.shape) for row in rows])


def rising(x: Any) -> Any:
    """The logistic function, in a form that does not overflow."""
    return (1 + sp.tanh(x / 2)) / 2
