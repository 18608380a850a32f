"""Where the flow goes when both mechanisms have an irreducible error and compete: to infinity.

Then nothing but unlearnt points is critical, and both mechanisms are learnt: with
q = |b|^2 = |c|^2 large, a = S1/q and d = S2/q, and the budget law becomes

    dq/dt = 8 alpha K = 4 alpha S1^2 S2^2 / (N12 q^4).

Hence q^5 = 20 alpha S1^2 S2^2 t / N12: |b| grows as t^(1/10), |a| and |d| shrink as t^(-1/5), K as
t^(-4/5).
"""

from dataclasses import dataclass

from coopetition.model.presets import CIWL, COMPETITION, ICL, is_two_strategies
from coopetition.model.problem import Reduced
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
        """|b| and |c| at a late time: their geometric mean, as |b|^2 - |c|^2 stays."""
        return (self.growth * t) ** 0.1

    def own(self, t: float) -> tuple[float, float]:
        """|a| and |d| at a late time."""
        q = self.shared(t) ** 2
        return self.target1 / q, self.target2 / q

    def competition(self, t: float) -> float:
        """K at a late time."""
        a, d = self.own(t)
        return (a * d) ** 2 / (2 * self.size)


def toleration(reduced: Reduced) -> Toleration:
    """The late flow of `two_strategies`; `UsageError` unless alpha, mu1 and mu2 are above 0.

    With unit rates.  Corrections vanish as t^(-1/5): 1 % at t = 10^7 with the published draws.
    """
    model = reduced.model
    numbers = [*reduced.offsets.values(), *reduced.strengths.values()]
    if not is_two_strategies(model) or set(model.rates) != {1.0} or min(numbers) <= 0:
        raise UsageError(
            "toleration is known for two_strategies with alpha, mu1, mu2 above 0 and rates of 1; "
            f"got {model}"
        )
    icl, ciwl = reduced.targets[ICL], reduced.targets[CIWL]
    alpha, size = reduced.strengths[COMPETITION], reduced.sizes[COMPETITION]
    return Toleration(20 * alpha * (icl * ciwl) ** 2 / size, icl, ciwl, size)
