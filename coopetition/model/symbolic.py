"""The model in sympy: its definition, its reduction, its gradient, and the proof that they agree.

The reduction is not written a second time: `Problem` is plain arithmetic, and here it runs on
symbols.  What it must be equal to is written out entry by entry (`Symbolic.definition`) from the
tensors of the declaration.
"""

import itertools
import math
from typing import Any

import sympy as sp

from coopetition.model.graph import Model
from coopetition.model.reduced import Problem, State

Expression = Any  # of sympy, whose annotations do not know what its operators return


class _NamedProducts(Problem):
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
        parameters = {f"mu{k}": mu for k, mu in enumerate(self.offset.values(), start=1)}
        self.problem = _NamedProducts.of_numbers(
            model, self.length, self.norm, parameters=parameters | self.strength
        )
        state = State(names, list(self.u.values()), list(self.w.values()))
        self.losses: dict[str, Expression] = self.problem.losses(state)
        self.gradient: dict[sp.Symbol, Expression] = dict(
            zip(state.entries, self.problem.gradient(state).entries, strict=True)
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
        spelt = Problem.of_numbers(self.model, self.length, self.norm)
        return {
            symbol: values[name]
            for symbols, values in (
                (self.problem.targets, spelt.targets),
                (self.problem.sizes, spelt.sizes),
            )
            for name, symbol in symbols.items()
        }

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
