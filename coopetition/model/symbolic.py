"""The model in sympy: its definition, its reduction, its gradient, and the proof that they agree.

The reduction is not written a second time: `Reduced` is plain arithmetic, and here it runs on
symbols.  What it must be equal to is written out entry by entry (`Symbolic.definition`) from the
tensors of the declaration.
"""

import itertools
import math
import re
from dataclasses import dataclass
from typing import Any

import sympy as sp

from coopetition.model.declaration import Model
from coopetition.model.problem import Reduced

Expression = Any  # of sympy, whose annotations do not know what its operators return


@dataclass(frozen=True, slots=True)
class Statement:
    """An equation with an id, a sentence that says what it is, and its proof.

    residual : an expression in the model's symbols that vanishes if the equation is true
    """

    id: str
    says: str
    left: Expression
    right: Expression
    residual: Expression

    @property
    def proved(self) -> bool:
        """Is the residual zero for all values of the symbols?"""
        return vanishes(self.residual)

    def latex(self) -> str:
        """The equation for a page that renders mathematics."""
        return _derivatives(f"{sp.latex(self.left)} = {sp.latex(self.right)}")

    def text(self) -> str:
        """The equation for a terminal."""
        return f"{sp.sstr(self.left)} = {sp.sstr(self.right)}"


def _derivatives(latex: str) -> str:
    """Slopes with a curly d and rates with a straight one: sympy goes by the number of symbols."""
    curly = re.sub(r"\\frac{d}{d ([uw]_\{\w+\})} L", r"\\frac{\\partial L}{\\partial \1}", latex)
    return curly.replace(r"\frac{\partial}{\partial t}", r"\frac{d}{d t}")


class _NamedProducts(Reduced):
    """The reduction with one symbol for each S and N: the products themselves are constants."""

    def _target(self, name: str, _factors: tuple[str, ...]) -> Expression:
        return sp.Symbol(f"S_{name}", positive=True)

    def _size(self, name: str, _factors: tuple[str, ...]) -> Expression:
        return sp.Symbol(f"N_{name}", positive=True)


class Symbolic:
    """A model with a symbol for each of its numbers.

    For a factor x: u_x and w_x (overlap and orthogonal part), n_x (norm of its target), N_x (its
    length), r_x (its rate; 0 if clamped).  For a mechanism or cost: S (product of norms), N
    (product of lengths, or 1), mu (offset), alpha (strength).
    """

    def __init__(self, model: Model) -> None:
        self.model = model
        names = model.factors
        self.u = {f: sp.Symbol(f"u_{f}", real=True) for f in names}
        self.w = {f: sp.Symbol(f"w_{f}", real=True) for f in names}
        self.norm = {f: sp.Symbol(f"n_{f}", positive=True) for f in names}
        self.length = {f: sp.Symbol(f"N_{f}", positive=True) for f in names}
        self.rate = {
            f: sp.Symbol(f"r_{f}", positive=True) if rate else sp.Integer(0)
            for f, rate in zip(names, model.rates, strict=True)
        }
        self.offset = {
            m.name: sp.Symbol(f"mu_{m.name}", nonnegative=True) for m in model.mechanisms
        }
        self.strength = {
            c.name: sp.Symbol(f"alpha_{c.name}", nonnegative=True) for c in model.costs
        }
        weights = self.offset | self.strength
        self.reduced = _NamedProducts(model, self.length, self.norm, weights)
        u, w = list(self.u.values()), list(self.w.values())
        self.losses: dict[str, Expression] = self.reduced.losses(u, w)
        slope_u, slope_w = self.reduced.gradient(u, w)
        self.gradient: dict[sp.Symbol, Expression] = dict(
            zip(u + w, slope_u + slope_w, strict=True)
        )

    @property
    def state(self) -> list[sp.Symbol]:
        """Every u, then every w."""
        return list(self.gradient)

    @property
    def velocity(self) -> dict[sp.Symbol, Expression]:
        """The flow: what each entry of the state moves with."""
        rates = [*self.rate.values(), *self.rate.values()]
        return {
            symbol: -rate * slope
            for rate, (symbol, slope) in zip(rates, self.gradient.items(), strict=True)
        }

    @property
    def products(self) -> dict[sp.Symbol, Expression]:
        """What every S and N stands for."""
        spelt = Reduced(self.model, self.length, self.norm)
        return {
            symbol: values[name]
            for symbols, values in (
                (self.reduced.targets, spelt.targets),
                (self.reduced.sizes, spelt.sizes),
            )
            for name, symbol in symbols.items()
        }

    def square(self, factor: str) -> Expression:
        """|x|^2 of a factor."""
        return self.u[factor] ** 2 + self.w[factor] ** 2

    def rate_of_change(self, quantity: Expression) -> Expression:
        """d/dt of a function of the state along the flow."""
        return sum(
            (sp.diff(quantity, symbol) * speed for symbol, speed in self.velocity.items()),
            sp.Integer(0),
        )

    def definition(self) -> dict[str, Expression]:
        """The losses by the definition: sums over the entries of explicit tensors.

        Each factor is a 2-vector, (u, w), and its target (n, 0): by rotation, that is the plane of
        any x and x* of any length.  The other entries are zero, so only N counts them.
        """
        vector = {f: (self.u[f], self.w[f]) for f in self.model.factors}
        target = {f: (self.norm[f], sp.Integer(0)) for f in self.model.factors}

        def half_square(name_factors: tuple[str, ...], targets: bool) -> Expression:
            total = sp.Integer(0)
            for entry in itertools.product((0, 1), repeat=len(name_factors)):
                value = math.prod(vector[f][k] for f, k in zip(name_factors, entry, strict=True))
                if targets:
                    pairs = zip(name_factors, entry, strict=True)
                    value -= math.prod(target[f][k] for f, k in pairs)
                total += value**2
            mean = self.model.convention == "mean"
            n_entries = math.prod(self.length[f] for f in name_factors) if mean else 1
            return total / (2 * n_entries)

        named = {m.name: half_square(m.factors, True) for m in self.model.mechanisms}
        total = math.prod(named[name] + mu for name, mu in self.offset.items())
        for cost in self.model.costs:
            named[cost.name] = half_square(cost.factors, False)
            total += self.strength[cost.name] * named[cost.name]
        return named | {"total": total}


def vanishes(expression: Expression) -> bool:
    """Is a rational function of the symbols identically zero?  A proof, not a sample."""
    numerator, _ = sp.fraction(sp.together(expression))
    return sp.expand(numerator) == 0


def prove_reduction(symbolic: Symbolic) -> bool:
    """The reduced losses are the definition's, and the reduced gradient is their derivative."""
    definition, products = symbolic.definition(), symbolic.products
    return all(
        vanishes(symbolic.losses[name].subs(products) - value) for name, value in definition.items()
    ) and all(
        vanishes(slope.subs(products) - sp.diff(definition["total"], symbol))
        for symbol, slope in symbolic.gradient.items()
    )
