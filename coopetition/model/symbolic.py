"""The model in sympy: its definition, its reduction, its gradient.

The reduction is not written a second time: `Problem` is plain arithmetic, and here it runs on
symbols.  `Symbolic.definition` is what it must be equal to, written out entry by entry from the
tensors of the declaration.
"""

import itertools
import math
from typing import Any

import sympy as sp

from coopetition.model.graph import Model
from coopetition.model.reduced import Problem, State

Expression = Any  # of sympy, whose annotations do not know what its operators return


class Symbolic:
    """A model with a symbol for each of its numbers.

    For a factor x: u_x and w_x (overlap and orthogonal part), n_x (norm of its target), N_x (its
    length), r_x (its rate; 0 if clamped).  For a mechanism or cost: S (product of norms), N
    (product of lengths, or 1), mu (offset), alpha (strength).

    products : the product that each S and N stands for
    losses : each loss by name, and `total`
    gradient, velocity : slope of the total, and rate of change along the flow, of every u, then of
        every w
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
        self.problem = problem = Problem.from_numbers(
            model, self.length, self.norm, parameters=parameters | self.strength
        )
        targets = {name: sp.Symbol(f"S_{name}", positive=True) for name in problem.targets}
        sizes = {name: sp.Symbol(f"N_{name}", positive=True) for name in problem.sizes}
        self.products = {targets[name]: value for name, value in problem.targets.items()}
        self.products |= {sizes[name]: value for name, value in problem.sizes.items()}
        problem.targets, problem.sizes = targets, sizes
        state = State(names, list(self.u.values()), list(self.w.values()))
        slopes, rates = problem.gradient(state).entries, [*self.rate.values()] * 2
        self.losses: dict[str, Expression] = problem.losses(state)
        self.gradient: dict[sp.Symbol, Expression] = dict(zip(state.entries, slopes, strict=True))
        self.velocity: dict[sp.Symbol, Expression] = {
            x: -rate * slope for x, rate, slope in zip(state.entries, rates, slopes, strict=True)
        }

    @property
    def state(self) -> list[sp.Symbol]:
        """Every u, then every w."""
        return list(self.gradient)

    def definition(self) -> dict[str, Expression]:
        """Return the losses by their definition: sums over the entries of explicit tensors.

        Each factor is a 2-vector (u, w) and its target is (n, 0): by rotation, this is the plane of
        any x and x* of any length.  All other entries are zero, so only N counts them.
        """
        vectors = {f: (self.u[f], self.w[f]) for f in self.model.factors}
        targets = {f: (self.norm[f], sp.Integer(0)) for f in self.model.factors}

        def half_square(factors: tuple[str, ...], *, has_target: bool) -> Expression:
            total = sp.Integer(0)
            for entry in itertools.product((0, 1), repeat=len(factors)):
                value = math.prod(vectors[f][k] for f, k in zip(factors, entry, strict=True))
                if has_target:
                    value -= math.prod(targets[f][k] for f, k in zip(factors, entry, strict=True))
                total += value**2
            is_mean = self.model.convention == "mean"
            n_entries = math.prod(self.length[f] for f in factors) if is_mean else 1
            return total / (2 * n_entries)

        losses = {m.name: half_square(m.factors, has_target=True) for m in self.model.mechanisms}
        total = math.prod(losses[name] + mu for name, mu in self.offset.items())
        for cost in self.model.costs:
            losses[cost.name] = half_square(cost.factors, has_target=False)
            total += self.strength[cost.name] * losses[cost.name]
        return losses | {"total": total}
