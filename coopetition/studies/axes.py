"""Parameters by name: axes through them, and random problems at a point."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from coopetition.dynamics.ensemble import Ensemble, random_ensemble
from coopetition.model.declaration import Model, check_whole
from coopetition.model.draws import real_numbers
from coopetition.tools.errors import UsageError, expect

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Axis:
    """A parameter and the values that a diagram takes it through.

    parameter : one of the model's (`Model.replace`: mu1, mu2, ..., alpha), dim_X or scale_X (length
        and initial scale of factor X) or initial_scale (of all factors)
    log : are they even on a logarithmic scale?
    """

    parameter: str
    values: Array
    log: bool = False

    def __post_init__(self) -> None:
        values = real_numbers(f"the axis {self.parameter}", self.values)
        if values.ndim != 1 or not len(values) or not np.isfinite(values).all():
            raise UsageError(f"the axis {self.parameter} is no list of finite values; give one")
        if (np.diff(values) <= 0).any():
            raise UsageError(f"the values of {self.parameter} do not ascend; sort them, each once")
        if self.parameter.startswith("dim_") and ((values < 1) | (values % 1 != 0)).any():
            raise UsageError(f"{self.parameter} has a value that is no whole number of at least 1")
        object.__setattr__(self, "values", values)

    @classmethod
    def between(
        cls, parameter: str, first: float, last: float, n: int, *, log: bool = False
    ) -> Self:
        """`n` values, by equal differences or, with `log`, equal ratios.

        Dimensions are rounded, and may therefore be fewer.
        """
        if not (np.isfinite([first, last]).all() and 0 <= first < last):
            raise UsageError(
                f"{parameter} from {first} to {last}; give two numbers of at least 0, ascending"
            )
        if n < 1:
            raise UsageError(f"{n} values of {parameter}; choose at least 1")
        if log and first == 0:
            raise UsageError(f"{parameter} from 0 by equal ratios; start above 0, or leave out log")
        values = (np.geomspace if log else np.linspace)(first, last, n)
        if parameter.startswith("dim_"):
            if first < 1 or first % 1 or last % 1:
                raise UsageError(
                    f"{parameter} from {first} to {last}; a dimension is a whole number of at "
                    "least 1"
                )
            values = np.unique(np.round(values))
        return cls(parameter, values, log)


def check_axes(model: Model, x: Axis, y: Axis) -> None:
    """Raise `UsageError` unless two axes are of different numbers of the model."""
    for axis in (x, y):
        expect(axis, Axis, "an Axis")
    sets_x, sets_y = (model.parameters.get(axis.parameter, axis.parameter) for axis in (x, y))
    if sets_x == sets_y:
        raise UsageError(
            f"the axes {x.parameter} and {y.parameter} set the same number; choose two parameters"
        )


def ensemble_at(
    model: Model, dims: dict[str, int], n_draws: int, seed: int, point: dict[str, float]
) -> Ensemble:
    """Random problems at one point of parameter space; the same draws for the same lengths.

    An unknown parameter, one that the model does not have, or a negative seed: `UsageError`.
    """
    rng = np.random.default_rng(check_whole("seed", seed, 0))
    lengths, scales = dict(dims), dict.fromkeys(model.factors, 1.0)
    parameters = {}
    for name, value in point.items():
        kind, _, factor = name.partition("_")
        if name == "initial_scale":
            scales = {f: scale * value for f, scale in scales.items()}
        elif kind == "dim" and factor in model.factors:
            lengths[factor] = int(value)
        elif kind == "scale" and factor in model.factors:
            scales[factor] *= value
        else:
            parameters[name] = value
    unknown = set(parameters) - set(model.parameters)
    if unknown:
        raise UsageError(
            f"there is no parameter {min(unknown)!r}; choose one of "
            f"{', '.join(model.parameters)}, initial_scale, or dim_X or scale_X for a factor X of "
            f"{', '.join(model.factors)}"
        )
    scale = np.array([[scales[f]] for f in model.factors])
    return random_ensemble(model, lengths, n_draws, rng, initial_scale=scale, parameters=parameters)
