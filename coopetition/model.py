"""The minimal model as a declaration: factors, mechanisms that multiply them, couplings, costs.

A mechanism learns its target tensor as the outer product of its factors; mechanisms that share a
factor share a circuit.  With L_m the squared error of mechanism m and mu_m its irreducible error,

    L = prod_m (L_m + mu_m) + sum_costs alpha * K,      K = 1/2 mean (x (x) y)^2.

`mean` runs over the entries of a tensor.  The published model of strategy coopetition (Singh et al.
2025, section 6) is `two_strategies`.
"""

import math
from dataclasses import dataclass
from typing import Any, Self

from coopetition.errors import UsageError


@dataclass(frozen=True, slots=True)
class Mechanism:
    """A strategy: the outer product of `factors`; `offset` (mu) is its irreducible error."""

    name: str
    factors: tuple[str, ...]
    offset: float


@dataclass(frozen=True, slots=True)
class Cost:
    """Competition between two factors that are active together, of strength alpha."""

    name: str
    factors: tuple[str, str]
    strength: float


@dataclass(frozen=True, slots=True)
class Model:
    """Factors, the mechanisms built of them, and the costs between them."""

    factors: tuple[str, ...]
    mechanisms: tuple[Mechanism, ...]
    costs: tuple[Cost, ...]

    def __post_init__(self) -> None:
        for mechanism in self.mechanisms:
            _check_parameter(f"offset of mechanism {mechanism.name}", mechanism.offset)
            _check_factors(mechanism.name, mechanism.factors, self.factors)
        for cost in self.costs:
            _check_parameter(f"strength of cost {cost.name}", cost.strength)
            _check_factors(cost.name, cost.factors, self.factors)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "factors": list(self.factors),
            "mechanisms": [[m.name, list(m.factors), m.offset] for m in self.mechanisms],
            "costs": [[c.name, list(c.factors), c.strength] for c in self.costs],
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Inverse of `to_dict`."""
        return cls(
            tuple(data["factors"]),
            tuple(Mechanism(name, tuple(fs), mu) for name, fs, mu in data["mechanisms"]),
            tuple(Cost(name, (fs[0], fs[1]), alpha) for name, fs, alpha in data["costs"]),
        )


def _check_parameter(name: str, value: float) -> None:
    if not (math.isfinite(value) and value >= 0):
        raise UsageError(f"{name} is {value}; choose a finite number of at least 0")


def _check_factors(name: str, used: tuple[str, ...], known: tuple[str, ...]) -> None:
    unknown = sorted(set(used) - set(known))
    if unknown or len(set(used)) != len(used) or not used:
        raise UsageError(f"{name} uses the factors {used}; choose different ones out of {known}")


ICL, CIWL, COMPETITION = "icl", "ciwl", "competition"


def two_strategies(*, alpha: float = 0.1, mu1: float = 0.1, mu2: float = 0.0) -> Model:
    """ICL builds a(x)b(x)c and CIWL builds d(x)b(x)c: b and c are shared, a and d compete.

    The defaults are the published transient case; mu1 = 0 is the persistent one.
    """
    for name, value in (("alpha", alpha), ("mu1", mu1), ("mu2", mu2)):
        _check_parameter(name, value)
    return Model(
        factors=("a", "b", "c", "d"),
        mechanisms=(Mechanism(ICL, ("a", "b", "c"), mu1), Mechanism(CIWL, ("d", "b", "c"), mu2)),
        costs=(Cost(COMPETITION, ("a", "d"), alpha),),
    )


PUBLISHED_DIMS = {"a": 20, "b": 20, "c": 20, "d": 160}
