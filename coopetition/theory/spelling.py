"""Formulas as a reader wants them, and back."""

import math

import sympy as sp

from coopetition.model.symbolic import Expression, Symbolic

TIME = sp.Symbol("t", real=True)


class Spelling:
    """Writes with R = u^2 + w^2, and losses by their names, what `Symbolic` writes in u and w.

    loss : a symbol for each mechanism's loss, each cost, and the total
    square : a symbol R for each factor
    total : the total loss in these symbols
    """

    def __init__(self, symbolic: Symbolic) -> None:
        self._symbolic = symbolic
        names = {name: f"L_{name}" for name in symbolic.offset}
        names |= {name: f"K_{name}" for name in symbolic.strength}
        self.loss = {name: sp.Symbol(text) for name, text in (names | {"total": "L"}).items()}
        self.square = {f: sp.Symbol(f"R_{f}", nonnegative=True) for f in symbolic.model.factors}
        offset_losses = [self.loss[name] + mu for name, mu in symbolic.offset.items()]
        costs = (alpha * self.loss[name] for name, alpha in symbolic.strength.items())
        self.total = math.prod(offset_losses) + sum(costs, sp.Integer(0))

    def in_squares(self, expression: Expression) -> Expression:
        """Every w^2 as R - u^2."""
        s = self._symbolic
        squares = {s.w[f] ** 2: self.square[f] - s.u[f] ** 2 for f in s.model.factors}
        return sp.factor(sp.expand(sp.expand(expression).subs(squares)))

    def slope_sign(self, symbol: sp.Symbol) -> Expression:
        """dL/d(symbol), unevaluated."""
        return sp.Derivative(self.loss["total"], symbol)

    def slope(self, symbol: sp.Symbol) -> Expression:
        """dL/d(symbol) by the chain rule through the losses that contain it."""
        parts = {name: value for name, value in self.loss.items() if name != "total"}
        through = {name: sp.diff(self._symbolic.losses[name], symbol) for name in parts}
        return sum(
            (
                sp.diff(self.total, parts[name]) * self.in_squares(inner)
                for name, inner in through.items()
                if inner != 0
            ),
            sp.Integer(0),
        )

    def written_out(self, expression: Expression) -> Expression:
        """Back to the symbols of `Symbolic`."""
        s = self._symbolic
        losses = {self.loss[name]: value for name, value in s.losses.items()}
        squares = {self.square[f]: s.square(f) for f in s.model.factors}
        return sp.sympify(expression).subs(losses).subs(squares)
