"""Theories whose curves are formulas of time; their derivatives come from the symbols."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from coopetition.compare.theory import OUTPUTS, Parameter, Theory

Array = NDArray[np.float64]
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
