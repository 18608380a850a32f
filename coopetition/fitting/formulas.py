"""Compile formulas with their derivatives by parameters.

In compiled code, a vector of m values is followed by their derivatives by the first Q parameters:
array[i] is a value, array[m + i Q + q] its derivative.  For values y(x, p) of a state x,

    dy/dp = J dx/dp + B,        J = dy/dx,        B = dy/dp at constant x.

All derivatives are symbolic.  Q is a constant of the code, so that the compiler computes several
columns at once; with Q = 0, values have no derivatives.
"""

from collections.abc import Sequence
from typing import Any

import sympy as sp

Expression = Any  # sympy's


def generate_function(
    name: str,
    formulas: Sequence[Expression],
    state: Sequence[sp.Symbol],
    symbols: Sequence[sp.Symbol],
    n_columns: int,
) -> str:
    """Return the source of a function (x, p, y) that fills y with formulas of x and p.

    x, y : arrays with `n_columns` derivatives of each value, see the module
    """
    m, n, by = len(formulas), len(state), [*state, *symbols[:n_columns]] if n_columns else []
    slopes = {(i, j): sp.diff(f, s) for i, f in enumerate(formulas) for j, s in enumerate(by)}
    slopes = {place: slope for place, slope in slopes.items() if slope != 0}
    named = {f"y[{i}]": formula for i, formula in enumerate(formulas)}
    named |= {f"d{i}_{j}": slope for (i, j), slope in slopes.items()}
    effort = "basic" if state else None  # those of a state are evaluated a thousand times
    intermediate, every = sp.cse([*named.values()], sp.numbered_symbols("c"), effort)
    lines = [f"x{j} = x[{j}]" for j in range(n)] + [f"p{j} = p[{j}]" for j in range(len(symbols))]
    arguments = {symbol: sp.Symbol(f"x{j}") for j, symbol in enumerate(state)}
    arguments |= {symbol: sp.Symbol(f"p{j}") for j, symbol in enumerate(symbols)}
    assigned: list[tuple[Any, Any]] = [*intermediate, *zip(named, every, strict=True)]
    lines += [f"{target} = {_print(value.xreplace(arguments))}" for target, value in assigned]
    lines.append("for q in range(Q):")
    for i in range(m):
        terms = [f"d{i}_{j} * x[{n} + {j} * Q + q]" for j in range(n) if (i, j) in slopes]
        lines.append(f"    y[{m} + {i} * Q + q] = {' + '.join(terms) or '0.0'}")
    lines += [f"y[{m} + {i} * Q + {j - n}] += d{i}_{j}" for i, j in slopes if j >= n]
    return f"@njit(error_model='numpy')\ndef {name}(x, p, y):\n    " + "\n    ".join(lines) + "\n"


def _print(value: Expression) -> str:
    printed = str(sp.pycode(value, user_functions={"tanh": "tanh"}))
    return printed.replace("None", "nan")  # outside the pieces of a function


HEAD = """
import math
from numba import njit
from numpy import empty, nan

@njit
def tanh(x):  # to 1e-16, in half the time of math.tanh
    return 1 - 2 / (1 + math.exp(2 * x))

@njit
def add(share, y, k, outputs, slopes):
    for o in range(len(outputs)):
        outputs[o, k] += share * y[o]
        for q in range(Q):
            slopes[o, k, q] += share * y[len(outputs) + o * Q + q]
"""
