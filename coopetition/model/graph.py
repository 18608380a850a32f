"""The minimal model as a declaration: factors, mechanisms that multiply them, and costs.

A mechanism learns its target tensor as the outer product of its factors; mechanisms that have a
factor in common share a circuit.  With the squared error L_m and the irreducible error mu_m of
mechanism m, the total loss is

    L = prod_m (L_m + mu_m) + sum_costs alpha * K,      K = 1/2 mean (x (x) y)^2.

`mean` runs over the entries of a tensor (convention "sum": the sum over them).  The published model
of strategy coopetition (Singh et al. 2025, section 6) is `two_strategies`, one of the presets.
"""

import dataclasses
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self, get_args

from coopetition.tools.checks import check_number
from coopetition.tools.errors import UsageError

Convention = Literal["mean", "sum"]
NAME = re.compile(r"[A-Za-z][A-Za-z0-9]*(_[A-Za-z0-9]+)*")  # names become symbols and variables


@dataclass(frozen=True, slots=True)
class Mechanism:
    """A strategy: the outer product of `factors`; `mu` is its irreducible error."""

    name: str
    factors: tuple[str, ...]
    mu: float

    def __post_init__(self) -> None:
        _check_part(self, "mu")


@dataclass(frozen=True, slots=True)
class Cost:
    """Competition between two factors that are active together, of strength `alpha`."""

    name: str
    factors: tuple[str, str]
    alpha: float

    def __post_init__(self) -> None:
        _check_part(self, "alpha")
        if len(self.factors) != 2:
            raise UsageError(f"{self.name} uses the factors {self.factors}; choose two")


@dataclass(frozen=True, slots=True)
class Model:
    """Factors, the mechanisms built of them, the costs between them, and how fast each learns.

    Lists are accepted in place of tuples and kept as tuples.

    convention : losses are the mean, or the sum, over the entries of their tensors
    rates : step size of each factor relative to the others (default: 1); a factor with rate 0 is
        clamped to its initial value

    Raises
    ------
    UsageError : a field of another type; no mechanism; a factor that is unknown, repeated, or in no
        mechanism; a repeated name; a name that is not made of letters, digits and single
        underscores; a mu, alpha or rate that is negative or not finite
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
        _check_names("factor", self.factors)
        _check_names("mechanism or cost", [*(part.name for part in self.parts), "total"])
        for part in self.parts:
            used = set(part.factors)
            if not used or len(used) != len(part.factors) or not used <= set(self.factors):
                raise UsageError(
                    f"{part.name} uses the factors {part.factors}; choose different ones from "
                    f"{self.factors}"
                )
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

        mu1, mu2, ... belong to the first, second, ... mechanism; alpha belongs to all costs, and
        the name of a cost is a parameter of that cost alone.
        """
        costs = tuple(cost.name for cost in self.costs)
        mus = {f"mu{k}": (m.name,) for k, m in enumerate(self.mechanisms, start=1)}
        return mus | ({"alpha": costs} if costs else {}) | {name: (name,) for name in costs}

    def parameter_values(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Return each mechanism's mu and each cost's alpha by its name, with some `changes`.

        An unknown parameter raises `UsageError`.
        """
        parts = self.parameters
        unknown = set(changes) - set(parts)
        if unknown:
            raise UsageError(
                f"the model has no parameter {min(unknown)!r}; it has {', '.join(parts)}"
            )
        values: dict[str, Any] = {m.name: m.mu for m in self.mechanisms}
        values |= {cost.name: cost.alpha for cost in self.costs}
        for name in sorted(changes, key=lambda name: name != "alpha"):  # a single cost goes last
            values |= dict.fromkeys(parts[name], changes[name])
        return values

    def replace(self, **parameters: float) -> Self:
        """Return the same model with other mu1, mu2, ..., alpha; see `parameters`."""
        for name, value in parameters.items():
            check_number(name, value)
        values = self.parameter_values(parameters)
        return dataclasses.replace(
            self,
            mechanisms=tuple(dataclasses.replace(m, mu=values[m.name]) for m in self.mechanisms),
            costs=tuple(dataclasses.replace(c, alpha=values[c.name]) for c in self.costs),
        )

    def mechanism(self, name: str) -> Mechanism:
        """Return the mechanism of this name; an unknown name raises `UsageError`."""
        named = {m.name: m for m in self.mechanisms}
        if name not in named:
            raise UsageError(f"the model has no mechanism {name!r}; it has {', '.join(named)}")
        return named[name]

    def with_rates(self, **rates: float) -> Self:
        """Return the same model with other step sizes for the given factors."""
        unknown = sorted(set(rates) - set(self.factors))
        if unknown:
            raise UsageError(f"unknown factors {unknown}; choose from {self.factors}")
        known = dict(zip(self.factors, self.rates, strict=True)) | rates
        return dataclasses.replace(self, rates=tuple(known.values()))

    def with_clamped(self, *factors: str) -> Self:
        """Return the same model with these factors held at their initial values."""
        return self.with_rates(**dict.fromkeys(factors, 0.0))

    def check_factors(self, names: Iterable[str]) -> None:
        """Raise `UsageError` unless the names are those of the factors."""
        different = set(self.factors) ^ set(names)
        if different:
            raise UsageError(
                f"the draw and the model disagree on the factors {sorted(different)}; the model "
                f"has {self.factors}: give a random draw the model, or lengths of these factors as "
                "`dims`"
            )

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "factors": list(self.factors),
            "mechanisms": [[m.name, list(m.factors), m.mu] for m in self.mechanisms],
            "costs": [[c.name, list(c.factors), c.alpha] for c in self.costs],
            "convention": self.convention,
            "rates": list(self.rates),
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Return the model of plain values; the inverse of `to_dict`."""
        mechanisms = tuple(Mechanism(*values) for values in data["mechanisms"])
        costs = tuple(Cost(*values) for values in data["costs"])
        return cls(data["factors"], mechanisms, costs, data["convention"], data["rates"])


def _check_part(part: Mechanism | Cost, weight: str) -> None:
    """Check a mechanism or cost and convert its fields."""
    title = f"{type(part).__name__.lower()} {part.name}"
    value = check_number(f"{weight} of {title}", getattr(part, weight))
    object.__setattr__(part, weight, value)
    object.__setattr__(part, "factors", _to_tuple(f"factors of {title}", part.factors, str))


def _to_tuple(name: str, value: Any, kind: type) -> tuple[Any, ...]:
    """Return a tuple or list of entries of one kind as a tuple; else raise `UsageError`."""
    is_sequence = isinstance(value, tuple | list)
    if is_sequence and all(isinstance(entry, kind) for entry in value):
        return tuple(value)
    expected = {str: " of names", object: ""}.get(kind, f" of {kind.__name__} objects")
    raise UsageError(f"{name} is {value!r:.80}; give a tuple{expected}")


def _check_names(kind: str, names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if not NAME.fullmatch(name):
            raise UsageError(
                f"a {kind} is named {name!r}; choose letters, digits and single underscores, "
                "a letter first"
            )
        if name in seen:
            raise UsageError(f"more than one {kind} is named {name}; give each its own name")
        seen.add(name)
