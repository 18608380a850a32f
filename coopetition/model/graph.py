"""The minimal model as a declaration: factors, mechanisms that multiply them, couplings, costs.

A mechanism learns its target tensor as the outer product of its factors; mechanisms that share a
factor share a circuit.  With L_m the squared error of mechanism m and mu_m its irreducible error,

    L = prod_m (L_m + mu_m) + sum_costs alpha * K,      K = 1/2 mean (x (x) y)^2.

`mean` runs over the entries of a tensor (convention "sum": the sum over them).  Every sharing graph
is a member of the family; `MODELS` are the ones with a name.  The published model of strategy
coopetition (Singh et al. 2025, section 6) is `two_strategies`.
"""

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self, get_args

from coopetition.tools.checks import check_number
from coopetition.tools.errors import UsageError

Convention = Literal["mean", "sum"]
NAME = re.compile(r"[A-Za-z][A-Za-z0-9]*(_[A-Za-z0-9]+)*")  # names become symbols, and variables


@dataclass(frozen=True, slots=True)
class Mechanism:
    """A strategy: the outer product of `factors`; `mu` is its irreducible error."""

    name: str
    factors: tuple[str, ...]
    mu: float

    def __post_init__(self) -> None:
        mu = check_number(f"mu of mechanism {self.name}", self.mu)
        factors = _to_tuple(f"factors of mechanism {self.name}", self.factors, str)
        object.__setattr__(self, "factors", factors)
        object.__setattr__(self, "mu", mu)


@dataclass(frozen=True, slots=True)
class Cost:
    """Competition between two factors that are active together, of strength `alpha`."""

    name: str
    factors: tuple[str, str]
    alpha: float

    def __post_init__(self) -> None:
        alpha = check_number(f"alpha of cost {self.name}", self.alpha)
        factors = _to_tuple(f"factors of cost {self.name}", self.factors, str)
        object.__setattr__(self, "factors", factors)
        object.__setattr__(self, "alpha", alpha)


@dataclass(frozen=True, slots=True)
class Model:
    """Factors, the mechanisms built of them, the costs between them, and how fast each learns.

    Lists are accepted in place of tuples, and kept as tuples.

    convention : losses are the mean, or the sum, over the entries of their tensors
    rates : each factor's step size relative to the others, 1 where it is not given; at 0 the factor
        is clamped to its initial value

    Raises
    ------
    UsageError : a field that is not a tuple or list of its kind; no mechanism; a factor in no
        mechanism, unknown, or named twice; a part named twice; a name that is not of letters,
        digits and single underscores; a mu, alpha (already as its part is made) or rate that is
        negative or not finite
    """

    factors: tuple[str, ...]
    mechanisms: tuple[Mechanism, ...]
    costs: tuple[Cost, ...] = ()
    convention: Convention = "mean"
    rates: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        kinds = {"factors": str, "mechanisms": Mechanism, "costs": Cost, "rates": object}
        for field, kind in kinds.items():
            object.__setattr__(self, field, _to_tuple(field, getattr(self, field), kind))
        if not self.mechanisms:
            raise UsageError("the model has no mechanism; give at least one")
        _check_different("factor", self.factors)
        names = [part.name for part in self.parts]
        _check_different("mechanism or cost", [*names, "total"])
        for mechanism in self.mechanisms:
            _check_factors(mechanism.name, mechanism.factors, self.factors)
        for cost in self.costs:
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
        rates = self.rates or (1.0,) * len(self.factors)
        if len(rates) != len(self.factors):
            raise UsageError(f"{len(rates)} rates for the factors {self.factors}; give one each")
        named = zip(self.factors, rates, strict=True)
        checked = tuple(check_number(f"rate of factor {name}", rate) for name, rate in named)
        object.__setattr__(self, "rates", checked)

    @property
    def parts(self) -> tuple[Mechanism | Cost, ...]:
        """Mechanisms and costs."""
        return (*self.mechanisms, *self.costs)

    @property
    def parameters(self) -> dict[str, tuple[str, ...]]:
        """The names of the parameters, and the parts that each belongs to.

        mu1, mu2, ... are those of the first, second, ... mechanism; alpha is that of every cost,
        and each cost's name is that of its own.
        """
        costs = tuple(cost.name for cost in self.costs)
        mus = {f"mu{k}": (m.name,) for k, m in enumerate(self.mechanisms, start=1)}
        return mus | ({"alpha": costs} if costs else {}) | {name: (name,) for name in costs}

    def assigned(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Each mechanism's mu and each cost's alpha, by its name, with some `parameters` changed.

        An unknown parameter raises `UsageError`.
        """
        parts = self.parameters
        unknown = set(parameters) - set(parts)
        if unknown:
            raise UsageError(
                f"the model has no parameter {min(unknown)!r}; it has {', '.join(parts)}"
            )
        values: dict[str, Any] = {m.name: m.mu for m in self.mechanisms}
        values |= {cost.name: cost.alpha for cost in self.costs}
        for name in sorted(parameters, key=lambda name: name != "alpha"):  # a cost's own goes last
            values |= dict.fromkeys(parts[name], parameters[name])
        return values

    def replace(self, **parameters: float) -> Self:
        """The same model with other mu1, mu2, ..., alpha: see `parameters`."""
        for name, value in parameters.items():
            check_number(name, value)
        values = self.assigned(parameters)
        return dataclasses.replace(
            self,
            mechanisms=tuple(dataclasses.replace(m, mu=values[m.name]) for m in self.mechanisms),
            costs=tuple(dataclasses.replace(c, alpha=values[c.name]) for c in self.costs),
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
        return dataclasses.replace(self, rates=tuple(known.values()))

    def clamped(self, *factors: str) -> Self:
        """The same model with these factors held at their initial values."""
        return self.at_rates(**dict.fromkeys(factors, 0.0))

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "factors": list(self.factors),
            "mechanisms": [[m.name, list(m.factors), m.mu] for m in self.mechanisms],
            "costs": [[c.name, list(c.factors), c.alpha] for c in self.costs],
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


def _to_tuple(name: str, given: Any, kind: type) -> tuple[Any, ...]:
    """A tuple or list as a tuple; `UsageError` for another value, or an entry of another kind."""
    is_sequence = isinstance(given, tuple | list)
    if is_sequence and all(isinstance(each, kind) for each in given):
        return tuple(given)
    expected = {str: " of names", object: ""}.get(kind, f" of {kind.__name__} objects")
    raise UsageError(f"{name} is {given!r:.80}; give a tuple{expected}")


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
