"""The minimal model as a declaration: factors, mechanisms that multiply them, couplings, costs.

A mechanism learns its target tensor as the outer product of its factors; mechanisms that share a
factor share a circuit.  With L_m the squared error of mechanism m and mu_m its irreducible error,

    L = prod_m (L_m + mu_m) + sum_costs alpha * K,      K = 1/2 mean (x (x) y)^2.

`mean` runs over the entries of a tensor (convention "sum": the sum over them).  Every sharing graph
is a member of the family; `MODELS` are the ones with a name.  The published model of strategy
coopetition (Singh et al. 2025, section 6) is `two_strategies`.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, Self, get_args

from coopetition.tools.errors import UsageError

Convention = Literal["mean", "sum"]
NAME = re.compile(r"[A-Za-z][A-Za-z0-9]*(_[A-Za-z0-9]+)*")  # names become symbols, and variables


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
    """Factors, the mechanisms built of them, the costs between them, and how fast each learns.

    convention : losses are the mean, or the sum, over the entries of their tensors
    rates : each factor's step size relative to the others, 1 where it is not given; at 0 the factor
        is clamped to its initial value

    Raises
    ------
    UsageError : no mechanism; a factor in no mechanism, unknown, or named twice; a part named
        twice; a name that is not of letters, digits and single underscores; an offset, strength or
        rate that is negative or not finite
    """

    factors: tuple[str, ...]
    mechanisms: tuple[Mechanism, ...]
    costs: tuple[Cost, ...] = ()
    convention: Convention = "mean"
    rates: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if not self.mechanisms:
            raise UsageError("the model has no mechanism; give at least one")
        _check_different("factor", self.factors)
        names = [part.name for part in self.parts]
        _check_different("mechanism or cost", [*names, "total"])
        for mechanism in self.mechanisms:
            check_parameter(f"offset of mechanism {mechanism.name}", mechanism.offset)
            _check_factors(mechanism.name, mechanism.factors, self.factors)
        for cost in self.costs:
            check_parameter(f"strength of cost {cost.name}", cost.strength)
            _check_factors(cost.name, cost.factors, self.factors)
            if len(cost.factors) != 2:
                raise UsageError(f"{cost.name} uses the factors {cost.factors}; choose two")
        idle = set(self.factors).difference(*(m.factors for m in self.mechanisms))
        if idle:
            raise UsageError(f"no mechanism uses the factors {sorted(idle)}; leave them out")
        if self.convention not in get_args(Convention):
            raise UsageError(
                f"convention {self.convention!r} is unknown; choose one of "
                f"{', '.join(get_args(Convention))}"
            )
        if not self.rates:
            object.__setattr__(self, "rates", (1.0,) * len(self.factors))
        if len(self.rates) != len(self.factors):
            raise UsageError(
                f"{len(self.rates)} rates for the factors {self.factors}; give one each"
            )
        for name, rate in zip(self.factors, self.rates, strict=True):
            check_parameter(f"rate of factor {name}", rate)

    @property
    def parts(self) -> tuple[Mechanism | Cost, ...]:
        """Mechanisms and costs."""
        return (*self.mechanisms, *self.costs)

    def weighted(self, weights: Mapping[str, float]) -> Self:
        """The same model with these offsets and strengths, by mechanism and cost: all of them."""
        return replace(
            self,
            mechanisms=tuple(replace(m, offset=weights[m.name]) for m in self.mechanisms),
            costs=tuple(replace(c, strength=weights[c.name]) for c in self.costs),
        )

    def mechanism(self, name: str) -> Mechanism:
        """The mechanism of this name; another name raises `UsageError`."""
        for mechanism in self.mechanisms:
            if mechanism.name == name:
                return mechanism
        known = ", ".join(m.name for m in self.mechanisms)
        raise UsageError(f"the model has no mechanism {name!r}; it has {known}")

    def at_rates(self, **rates: float) -> Self:
        """The same model with other step sizes for the factors named."""
        unknown = sorted(set(rates) - set(self.factors))
        if unknown:
            raise UsageError(f"unknown factors {unknown}; choose out of {self.factors}")
        known = dict(zip(self.factors, self.rates, strict=True)) | rates
        return replace(self, rates=tuple(known.values()))

    def clamped(self, *factors: str) -> Self:
        """The same model with these factors held at their initial values."""
        return self.at_rates(**dict.fromkeys(factors, 0.0))

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "factors": list(self.factors),
            "mechanisms": [[m.name, list(m.factors), m.offset] for m in self.mechanisms],
            "costs": [[c.name, list(c.factors), c.strength] for c in self.costs],
            "convention": self.convention,
            "rates": list(self.rates),
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Inverse of `to_dict`."""
        return cls(
            tuple(data["factors"]),
            tuple(Mechanism(name, tuple(fs), mu) for name, fs, mu in data["mechanisms"]),
            tuple(Cost(name, (fs[0], fs[1]), alpha) for name, fs, alpha in data["costs"]),
            data["convention"],
            tuple(data["rates"]),
        )


def check_parameter(name: str, value: float) -> None:
    """Raise `UsageError` unless an offset, strength or rate is finite and not negative."""
    if not (math.isfinite(value) and value >= 0):
        raise UsageError(f"{name} is {value}; choose a finite number of at least 0")


def _check_different(kind: str, names: list[str] | tuple[str, ...]) -> None:
    for name in names:
        if not NAME.fullmatch(name):
            raise UsageError(
                f"a {kind} is named {name!r}; choose letters, digits and single underscores, "
                "a letter first"
            )
    twice = sorted({name for name in names if list(names).count(name) > 1})
    if twice:
        raise UsageError(
            f"more than one {kind} is named {', '.join(twice)}; give each its own name"
        )


def _check_factors(name: str, used: tuple[str, ...], known: tuple[str, ...]) -> None:
    unknown = sorted(set(used) - set(known))
    if unknown or len(set(used)) != len(used) or not used:
        raise UsageError(f"{name} uses the factors {used}; choose different ones out of {known}")
