"""Mutual toleration: both mechanisms have an irreducible error, compete, and are learnt for good.

Then the flow goes to infinity, with |b|^2 |c|^2 = q^2 and q^5 = 20 alpha S1^2 S2^2 t / N12
(docs/theory.md, section 8): |b| grows as t^(1/10), |a| and |d| shrink as t^(-1/5), K as t^(-4/5).
"""

from dataclasses import dataclass

from coopetition.model.presets import CIWL, COMPETITION, ICL, is_two_strategies
from coopetition.model.problem import Problem
from coopetition.tools.errors import UsageError


@dataclass(frozen=True, slots=True)
class Toleration:
    """The late flow.

    growth : q^5 / t;  target1, target2 : S1, S2;  size : N12
    """

    growth: float
    target1: float
    target2: float
    size: float

    def shared(self, t: float) -> float:
        """Geometric mean of |b| and |c| at a late time; |b|^2 - |c|^2 stays what it was."""
        return (self.growth * t) ** 0.1

    def own(self, t: float) -> tuple[float, float]:
        """|a| and |d| at a late time."""
        q = self.shared(t) ** 2
        return self.target1 / q, self.target2 / q

    def competition(self, t: float) -> float:
        """K at a late time."""
        a, d = self.own(t)
        return (a * d) ** 2 / (2 * self.size)


def toleration(problem: Problem) -> Toleration:
    """The late flow of `two_strategies`; `UsageError` unless alpha, mu1 and mu2 are above 0.

    Takes it that both are learnt, with unit rates.  Relative corrections fall as t^(-3/5), and in
    the end as t^(-2/5) where |b| and |c| differ; each of |b| and |c| alone is off by t^(-1/5).
    """
    model = problem.model
    numbers = [*problem.mu.values(), *problem.alpha.values()]
    if not is_two_strategies(model) or set(model.rates) != {1.0} or min(numbers) <= 0:
        raise UsageError(
            "toleration is known for two_strategies with alpha, mu1, mu2 above 0 and rates of 1; "
            f"got {model}"
        )
    icl, ciwl = problem.targets[ICL], problem.targets[CIWL]
    alpha, size = problem.alpha[COMPETITION], problem.sizes[COMPETITION]
    return Toleration(20 * alpha * (icl * ciwl) ** 2 / size, icl, ciwl, size)
