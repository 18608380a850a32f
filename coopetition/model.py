"""The minimal model as a declaration: factors, mechanisms that multiply them, couplings, costs.

A mechanism learns its target tensor as the outer product of its factors; mechanisms that share a
factor share a circuit.  With L_m the squared error of mechanism m and mu_m its irreducible error,

    L = prod_m (L_m + mu_m) + sum_costs alpha * K,      K = 1/2 mean (x (x) y)^2.

`mean` runs over the entries of a tensor (convention "sum": the sum over them).  Every sharing graph
is a member of the family; `MODELS` are the ones with a name.  The published model of strategy
coopetition (Singh et al. 2025, section 6) is `two_strategies`.
"""

import inspect
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, Self, get_args

from coopetition.errors import UsageError

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
            _check_parameter(f"offset of mechanism {mechanism.name}", mechanism.offset)
            _check_factors(mechanism.name, mechanism.factors, self.factors)
        for cost in self.costs:
            _check_parameter(f"strength of cost {cost.name}", cost.strength)
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
            _check_parameter(f"rate of factor {name}", rate)

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


def _check_parameter(name: str, value: float) -> None:
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


ICL, CIWL, IWL, COMPETITION = "icl", "ciwl", "iwl", "competition"


def two_strategies(*, alpha: float = 0.1, mu1: float = 0.1, mu2: float = 0.0) -> Model:
    """ICL builds a(x)b(x)c and CIWL builds d(x)b(x)c: b and c are shared, a and d compete.

    The defaults are the published transient case; mu1 = 0 is the persistent one.
    """
    _check_named(alpha=alpha, mu1=mu1, mu2=mu2)
    return Model(
        factors=("a", "b", "c", "d"),
        mechanisms=(Mechanism(ICL, ("a", "b", "c"), mu1), Mechanism(CIWL, ("d", "b", "c"), mu2)),
        costs=(Cost(COMPETITION, ("a", "d"), alpha),),
    )


def is_two_strategies(model: Model) -> bool:
    """Has the model the factors, mechanisms and costs of `two_strategies`, whatever its numbers?"""
    published = two_strategies()
    mine, theirs = ([(p.name, p.factors) for p in each.parts] for each in (model, published))
    return model.factors == published.factors and mine == theirs


def no_competition(*, mu1: float = 0.1, mu2: float = 0.0) -> Model:
    """`two_strategies` without the cost: what sharing alone does."""
    _check_named(mu1=mu1, mu2=mu2)
    return replace(two_strategies(mu1=mu1, mu2=mu2), costs=())


def no_sharing(*, alpha: float = 0.1, mu1: float = 0.1, mu2: float = 0.0) -> Model:
    """`two_strategies` with b and c split in two, f and g for CIWL: what rivalry alone does."""
    shared = two_strategies(alpha=alpha, mu1=mu1, mu2=mu2)
    ciwl = replace(shared.mechanism(CIWL), factors=("d", "f", "g"))
    return replace(
        shared,
        factors=("a", "b", "c", "d", "f", "g"),
        mechanisms=(shared.mechanism(ICL), ciwl),
        rates=(),
    )


def induction_head(*, mu1: float = 0.0) -> Model:
    """ICL alone, a(x)b(x)c: the three-factor model of the induction-head paper (2024)."""
    _check_named(mu1=mu1)
    return Model(("a", "b", "c"), (Mechanism(ICL, ("a", "b", "c"), mu1),))


def three_strategies(
    *, alpha: float = 0.1, mu1: float = 0.1, mu2: float = 0.01, mu3: float = 0.0
) -> Model:
    """ICL, CIWL and IWL: e(x)c answers from the weights alone, without the context that b reads.

    Each pair competes with strength alpha.  Ours, not published: a conjecture about what follows
    CIWL.
    """
    _check_named(alpha=alpha, mu1=mu1, mu2=mu2, mu3=mu3)
    return Model(
        factors=("a", "b", "c", "d", "e"),
        mechanisms=(
            Mechanism(ICL, ("a", "b", "c"), mu1),
            Mechanism(CIWL, ("d", "b", "c"), mu2),
            Mechanism(IWL, ("e", "c"), mu3),
        ),
        costs=(
            Cost("icl_ciwl", ("a", "d"), alpha),
            Cost("icl_iwl", ("a", "e"), alpha),
            Cost("ciwl_iwl", ("d", "e"), alpha),
        ),
    )


def _check_named(**parameters: float) -> None:
    for name, value in parameters.items():
        _check_parameter(name, value)


MODELS: dict[str, Callable[..., Model]] = {
    preset.__name__: preset
    for preset in (two_strategies, no_competition, no_sharing, induction_head, three_strategies)
}

# Lengths of the factors; the first four are published.
DIMS = {"a": 20, "b": 20, "c": 20, "d": 160, "e": 160, "f": 20, "g": 20}
PUBLISHED_DIMS = {name: DIMS[name] for name in "abcd"}


def named_model(name: str, **parameters: float) -> Model:
    """The model of `MODELS` of this name; a name or parameter it does not know: `UsageError`."""
    if name not in MODELS:
        raise UsageError(f"model {name!r} is unknown; choose one of {', '.join(MODELS)}")
    known = inspect.signature(MODELS[name]).parameters
    for parameter in parameters:
        if parameter not in known:
            raise UsageError(f"{name} has no {parameter}; its parameters are {', '.join(known)}")
    return MODELS[name](**parameters)


def named_dims(model: Model) -> dict[str, int]:
    """Lengths of a named model's factors: the published ones, and like ones for what it adds."""
    unknown = [factor for factor in model.factors if factor not in DIMS]
    if unknown:
        raise UsageError(f"the lengths of the factors {unknown} are not known; give all dims")
    return {factor: DIMS[factor] for factor in model.factors}
