"""JavaScript of the minimal model, generated from its symbolic form."""

from typing import Any

import sympy as sp
from sympy.printing.jscode import JavascriptCodePrinter

from coopetition.model.graph import Model
from coopetition.model.symbolic import Symbolic


class _Printer(JavascriptCodePrinter):
    """Prints small powers as products, which are faster and rounded as in Python."""

    def _print_Pow(self, expr: Any) -> str:
        if expr.exp in (2, 3):
            base = self.parenthesize(expr.base, 100)  # 100: above the precedence of a product
            return "*".join([base] * int(expr.exp))
        return super()._print_Pow(expr)


def evaluation_source(model: Model) -> str:
    """Return a JavaScript function that evaluates losses and velocity at a state.

    `evaluate(state, numbers, out)` reads every overlap, then every orthogonal part, and the
    parameters by the names of their symbols (`coopetition.model.symbolic`).  It writes the losses
    in the order of `losses`, with `total` last, then the velocity in the order of the state.
    """
    symbolic = Symbolic(model)
    outputs = [*symbolic.losses.values(), *symbolic.velocity.values()]
    shared, reduced = sp.cse(outputs)
    state = [symbol.name for symbol in symbolic.state]
    numbers = sorted(
        symbol.name for symbol in set().union(*(e.free_symbols for e in outputs))
        if symbol not in symbolic.gradient
    )  # fmt: skip
    printer = _Printer()
    lines = [f"const {name} = state[{k}];" for k, name in enumerate(state)]
    lines += [f"const {{{', '.join(numbers)}}} = numbers;"]
    lines += [f"const {symbol} = {printer.doprint(value)};" for symbol, value in shared]
    lines += [f"out[{k}] = {printer.doprint(value)};" for k, value in enumerate(reduced)]
    body = "\n".join(f"  {line}" for line in lines)
    return f"function evaluate(state, numbers, out) {{\n{body}\n}}"
