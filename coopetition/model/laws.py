"""Laws of the norms, for any sharing graph: quantities that only the costs change, or nothing.

Weights c_x that sum to zero over every mechanism (of the factors that move) cancel the pulls of all
mechanisms in Q = sum_x c_x |x|^2 / r_x, and leave those of the costs (docs/theory.md, section 4).
The laws of this kind are a null space, that of the mechanism-factor incidence.  For
`two_strategies` it is spanned by the balance |b|^2 - |c|^2 (conserved) and the budget
|a|^2 + |d|^2 - |b|^2, which changes at the rate -8 alpha K.
"""

from dataclasses import dataclass
from typing import Any

from coopetition.model.graph import Model
from coopetition.model.reduced import Number, Part, Problem, State
from coopetition.tools.errors import check_type


@dataclass(frozen=True, slots=True)
class NormLaw:
    """A weighted sum of squared norms, Q, whose rate is a weighted sum of costs.

    coefficients : c_x by factor, those that are not zero
    costs : sum of c_x over the two factors of each cost; empty if Q is conserved
    """

    coefficients: dict[str, int]
    costs: dict[str, int]

    @property
    def conserved(self) -> bool:
        """Whether Q keeps its value along the flow."""
        return not self.costs

    @property
    def name(self) -> str:
        """Q as a formula: |b|^2 - |c|^2."""
        terms = (
            f"{'-' if c < 0 else '+'} {'' if abs(c) == 1 else f'{abs(c)} '}|{f}|^2"
            for f, c in self.coefficients.items()
        )
        return " ".join(terms).removeprefix("+ ")

    def value(self, problem: Problem, state: State) -> Number:
        """Return Q at a state."""
        return sum(c / r * part.square for c, r, part in self._terms(problem.model, state))

    def size(self, problem: Problem, state: State) -> Number:
        """Return the sum of the absolute values of Q's terms, the scale of errors of Q."""
        return sum(abs(c) / r * part.square for c, r, part in self._terms(problem.model, state))

    def rate(self, problem: Problem, state: State) -> Number:
        """Return dQ/dt along the flow at a state."""
        losses = problem.losses(state)
        return sum(-4 * c * problem.alpha[k] * losses[k] for k, c in self.costs.items())

    def step_change(self, problem: Problem, state: State, step: float) -> Number:
        """Return the exact change of Q by one descent step of size `step`."""
        slopes = self._terms(problem.model, problem.gradient(state))
        second = sum(c * r * slope.square for c, r, slope in slopes)
        return step * (self.rate(problem, state) + step * second)

    def _terms(self, model: Model, state: State) -> list[tuple[int, float, Part]]:
        rates = dict(zip(model.factors, model.rates, strict=True))
        return [(c, rates[f], state[f]) for f, c in self.coefficients.items()]


def norm_laws(model: Model) -> list[NormLaw]:
    """Return a basis of a model's laws of the norms: conserved ones first, then the others."""
    check_type(model, Model, "a Model")
    import sympy as sp  # slow to import, and a solution needs it only for its laws

    moving = [f for f, rate in zip(model.factors, model.rates, strict=True) if rate]

    def incidence(parts: tuple[Any, ...]) -> Any:
        entries = [int(f in part.factors) for part in parts for f in moving]
        return sp.Matrix(len(parts), len(moving), entries)

    mechanisms, costs = incidence(model.mechanisms), incidence(model.costs)
    basis = list(mechanisms.col_join(costs).nullspace())  # the conserved ones
    for vector in mechanisms.nullspace():
        if sp.Matrix.hstack(*basis, vector).rank() > len(basis):
            basis.append(vector)
    laws = []
    for vector in basis:  # with whole numbers as coefficients, the first of them positive
        scale = sp.ilcm(*(entry.q for entry in vector))
        sign = sp.sign(next(entry for entry in vector if entry != 0))
        whole = (int(scale * sign * entry) for entry in vector)
        coefficients = {f: c for f, c in zip(moving, whole, strict=True) if c}
        sums = {c.name: sum(coefficients.get(f, 0) for f in c.factors) for c in model.costs}
        laws.append(NormLaw(coefficients, {name: total for name, total in sums.items() if total}))
    return laws
