"""Parameters by name: axes through them, and random problems at a point."""

import re
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from coopetition.model.declaration import Model
from coopetition.solve.ensemble import Ensemble, random_ensemble
from coopetition.tools.errors import UsageError

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Axis:
    """A parameter and the values that a diagram takes it through.

    parameter : alpha (of every cost), mu1, mu2, ... (of the first, second, ... mechanism), dim_X or
        scale_X (length and initial scale of factor X) or initial_scale (of all factors)
    """

    parameter: str
    values: Array

    @property
    def by_ratios(self) -> bool:
        """Is a logarithmic scale the one on which the values are even?"""
        return _far(self.values[0], self.values[-1])

    @classmethod
    def between(cls, parameter: str, first: float, last: float, n: int) -> Self:
        """`n` values: by equal ratios where the ends are positive and at least 10 apart.

        Dimensions are rounded, and may therefore be fewer.
        """
        if not (np.isfinite([first, last]).all() and 0 <= first < last):
            raise UsageError(
                f"{parameter} from {first} to {last}; give two numbers of at least 0, ascending"
            )
        if n < 1:
            raise UsageError(f"{n} values of {parameter}; choose at least 1")
        spaced = np.geomspace if _far(first, last) else np.linspace
        values = spaced(first, last, n)
        if parameter.startswith("dim_"):
            if first < 1:
                raise UsageError(f"{parameter} from {first}; a dimension is at least 1")
            values = np.unique(np.round(values))
        return cls(parameter, values)


def _far(first: float, last: float) -> bool:
    return bool(first > 0 and last >= 10 * first)


PARAMETER = re.compile(r"alpha|mu([1-9])|(dim|scale)_(.+)|initial_scale")


def ensemble_at(
    model: Model, dims: dict[str, int], n_draws: int, seed: int, point: dict[str, float]
) -> Ensemble:
    """Random problems at one point of parameter space; the same draws for the same lengths.

    An unknown parameter, one that the model does not have, or a negative seed: `UsageError`.
    """
    if seed < 0:
        raise UsageError(f"seed={seed}; choose a whole number of at least 0")
    weights: dict[str, float] = {}
    lengths = dict(dims)
    scales = dict.fromkeys(model.factors, 1.0)
    for parameter, value in point.items():
        found = PARAMETER.fullmatch(parameter)
        if found is None or not _fits(model, found):
            raise UsageError(
                f"the model has no parameter {parameter!r}; choose "
                f"{'alpha, ' if model.costs else ''}mu1 to mu{len(model.mechanisms)}, "
                f"initial_scale, or dim_X or scale_X for a factor X of {', '.join(model.factors)}"
            )
        position, kind, factor = found.groups()
        if parameter == "alpha":
            weights |= {cost.name: value for cost in model.costs}
        elif position:
            weights[model.mechanisms[int(position) - 1].name] = value
        elif kind == "dim":
            lengths[factor] = int(value)
        else:
            for f in [factor] if kind else model.factors:
                scales[f] *= value
    rng = np.random.default_rng(seed)
    scale = np.array([[scales[f]] for f in model.factors])
    return random_ensemble(model, lengths, n_draws, rng, initial_scale=scale, weights=weights)


def _fits(model: Model, parameter: re.Match[str]) -> bool:
    position, _, factor = parameter.groups()
    if parameter.group() == "alpha":
        return bool(model.costs)
    return (position is None or int(position) <= len(model.mechanisms)) and (
        factor is None or factor in model.factors
    )
