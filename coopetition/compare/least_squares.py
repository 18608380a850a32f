"""How a theory is seen in measured curves.

Each measured curve is taken to be an affine function of the theory's error of the same name,

    measured = floor + gain x error,        floor >= 0, gain >= 0,

a loss in nats as it is, an accuracy as what is missing to 1.  So a theory answers for the shape of
curves and for how they hang together in time, not for their height.  Time is linear in sequences
seen: the learning rate is taken to be constant.  What no theory here knows is the early phase in
which a network learns to answer with a label in context; it is left out (`Curves.between`,
`--from`), by the rule of nine tenths of the time of emergence where accuracies tell that.

What is minimised: how far a theory is from the curves of one run, or of several at once.

A residual counts in units of

    unit^2 = (tolerance x the curve's deviation)^2 + error^2

with the samples' own errors where they are known.  So no theory is expected to be truer than to
`tolerance` of what a curve does, every curve counts alike, and samples that are known badly count
less.  All residuals are then taken to have one variance, which the best fit tells.
"""

import numbers
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from coopetition.compare.curves import Curves
from coopetition.compare.theory import CURVES, OUTPUTS, Parameter, Theory, theory_of
from coopetition.tools.errors import UsageError

Array = NDArray[np.float64]

FLAT = 1e-6  # deviation of an error, of order 1 where nothing is learnt: less has no shape
ACCURACY = "accuracy"  # in a metric's name: what is missing to 1 is seen


@dataclass(frozen=True, slots=True)
class Seen:
    """A curve as it is best seen: floor and gain, residuals (n,) and their slopes (n, p)."""

    floor: float
    gain: float
    residual: Array
    slopes: Array


def errors_of(values: Array, metric: str) -> Array:
    """Measured values as errors."""
    return 1 - values if ACCURACY in metric else values


def seen(y: Array, f: Array, df: Array, weight: Array, *, least: float = 0.0) -> Seen:
    """The floor and gain that bring an error f (n,) closest to y (n,), neither negative.

    Closest is the least sum of squares of weight (n,) times the residual floor + gain f - y.  Its
    slopes (n, p) are those by the theory's parameters, of which df (n, p) are the error's: floor
    and gain follow (variable projection, exactly).  An error that is not finite, as where a theory
    cannot be computed, is seen as NaN.

    A curve whose gain is 0 has no slopes: nothing tells how to explain it.  With `least` above 0,
    gain x error has at least this share of y's deviation, and its slopes lead to errors that go
    with y (the floor may then be negative).
    """
    if not np.isfinite(f).all():
        nothing = np.full(len(y), np.nan)
        return Seen(np.nan, np.nan, nothing, np.zeros_like(df))
    share = weight**2 / (weight @ weight)
    mean_f, mean_y, mean_df = share @ f, share @ y, share @ df
    centred, of_y, slopes = f - mean_f, y - mean_y, df - mean_df
    power = share @ centred**2
    gain = (share * centred) @ of_y / power if power > 0 else 0.0
    lowest = least * np.sqrt(share @ of_y**2 / power) if power > FLAT**2 else 0.0
    if max(gain, 0.0) < lowest:
        d_lowest = -lowest / power * ((share * centred) @ slopes)
        residual = lowest * centred - of_y
        moved = np.outer(centred, d_lowest) + lowest * slopes
        return Seen(float(mean_y - lowest * mean_f), float(lowest), residual, moved)
    if gain <= 0 <= mean_y:
        return Seen(float(mean_y), 0.0, mean_y - y, np.zeros_like(df))
    floor = mean_y - gain * mean_f
    if gain > 0 and floor >= 0:
        d_gain = ((share * of_y) @ slopes - 2 * gain * ((share * centred) @ slopes)) / power
        d_floor = -d_gain * mean_f - gain * mean_df
    else:
        floor, power = 0.0, share @ f**2
        gain = max((share * f) @ y, 0.0) / power if power > 0 else 0.0
        d_gain = np.zeros(df.shape[1])
        if gain > 0:
            d_gain = ((share * y) @ df - 2 * gain * ((share * f) @ df)) / power
        d_floor = np.zeros(df.shape[1])
    residual = floor + gain * f - y
    return Seen(float(floor), float(gain), residual, d_floor + np.outer(f, d_gain) + gain * df)


TOLERANCE = 0.05
LEAST = 1.0  # share of a curve's deviation that a lifted problem gives to a theory's error
WORST = 100.0  # of a residual, in units: where a theory cannot be computed


@dataclass(frozen=True, slots=True)
class Free:
    """A number that is looked for: a parameter of one run or of several.

    places : (run, which of the theory's parameters) that take its value
    """

    name: str
    parameter: Parameter
    places: tuple[tuple[int, int], ...]


class Problem:
    """Residuals of runs' curves as a function of where the free parameters are in their search.

    A place is a number between 0 and 1 for each free parameter (`Parameter.from_unit`).  Curves are
    called `icl`, of several runs `RUN/icl`; so are parameters, but for those that runs share.

    runs : curves of `CURVES` each, checked (`estimate.checked`)
    shared : parameters that are the same in all runs
    fixed : value of a parameter that is not looked for, or the name of one that it equals;
        in sequences, where its unit has time
    """

    def __init__(
        self,
        runs: Sequence[Curves],
        theory: Theory,
        *,
        shared: Sequence[str] = (),
        fixed: Mapping[str, float | str] | None = None,
        tolerance: float = TOLERANCE,
    ) -> None:
        self.runs, self.theory, self.tolerance = tuple(runs), theory, float(tolerance)
        self.shared = tuple(shared)
        self.fixed = {name: _to_fixed(name, value) for name, value in (fixed or {}).items()}
        self.labels, self.least = _labels(self.runs), 0.0
        if both := sorted({*self.shared} & {*self.fixed}):
            raise UsageError(
                f"{', '.join(both)} cannot be shared and fixed; what is fixed is so in all runs"
            )
        if self.shared and len(self.runs) == 1:
            raise UsageError(f"{', '.join(self.shared)} cannot be shared by one run; give several")
        # all runs have one unit of time, so that they can share a pace
        self.unit_of_time = max(float(np.ptp(run.sequences)) for run in self.runs)
        self.times = [self.time(k, run.sequences) for k, run in enumerate(self.runs)]
        self.errors: dict[str, Array] = {}
        self.known: dict[str, NDArray[np.bool_]] = {}
        self.units: dict[str, Array] = {}
        # curve -> run, row of the theory's outputs
        self.where: dict[str, tuple[int, int]] = {}
        for k, run in enumerate(self.runs):
            for name in CURVES:
                if name in run.values:
                    self._add(self.labels[k] + name, k, name)
        self._set_free()

    def _add(self, curve: str, k: int, name: str) -> None:
        run = self.runs[k]
        errors = errors_of(run.values[name], run.metric)
        known = np.isfinite(errors)
        unit = np.full(known.sum(), self.tolerance * float(np.std(errors[known])))
        if name in run.errors:
            unit = np.hypot(unit, run.errors[name][known])
        self.errors[curve], self.known[curve], self.units[curve] = errors[known], known, unit
        self.where[curve] = k, OUTPUTS.index(name)

    def _set_free(self) -> None:
        parameters = self.theory.parameters
        own = [each.name for each in parameters if each.name not in self.fixed]
        for name in (*self.shared, *self.fixed):
            self._check_parameter(name)
        self._values = np.zeros((len(self.runs), len(parameters)))
        places: dict[str, list[tuple[int, int]]] = {}
        for k, label in enumerate(self.labels):
            for j, parameter in enumerate(parameters):
                value = self.fixed.get(parameter.name, parameter.name)
                if not isinstance(value, str):
                    check_value(parameter, value, self.in_sequences(parameter))
                    self._values[k, j] = value / self.in_sequences(parameter)
                elif value in own and self._alike(parameter, value):
                    places.setdefault(self._key(label, value), []).append((k, j))
                else:
                    self._check_parameter(value)
                    raise UsageError(
                        f"{parameter.name} is tied to {value}, which is not free or of another "
                        f"unit; tie it to one of {self._ties(parameter, own) or 'none'}"
                    )
        by_name = dict(zip(self.theory.names, parameters, strict=True))
        self.free = tuple(
            Free(key, by_name[key.rpartition("/")[2]], tuple(where))
            for key, where in places.items()
        )
        if not self.free:
            raise UsageError("every parameter is fixed; leave one free")

    def _key(self, label: str, parameter: str) -> str:
        return parameter if parameter in self.shared else label + parameter

    def _alike(self, parameter: Parameter, other: str) -> bool:
        """Whether a parameter may equal another: they have one unit."""
        found = self.theory.parameters[self.theory.names.index(other)]
        return found.per_time == parameter.per_time

    def _ties(self, parameter: Parameter, own: Sequence[str]) -> str:
        return ", ".join(name for name in own if self._alike(parameter, name))

    def _check_parameter(self, name: str) -> None:
        if name not in self.theory.names:
            raise UsageError(
                f"the theory {self.theory.name} has no parameter {name!r}; it has "
                f"{', '.join(self.theory.names)}"
            )

    def in_sequences(self, parameter: Parameter) -> float:
        """What a parameter's value in the problem's unit of time is to be multiplied with."""
        return self.unit_of_time**-parameter.per_time

    def time(self, run: int, sequences: Array) -> Array:
        """Times of a run's sequences, in the problem's unit, from its first sample."""
        return (sequences - self.runs[run].sequences[0]) / self.unit_of_time

    def values(self, place: Array) -> Array:
        """The theory's parameters (runs, parameters) at a place."""
        values = self._values.copy()
        for free, x in zip(self.free, place, strict=True):
            for where in free.places:
                values[where] = free.parameter.from_unit(x)
        return values

    def outputs(self, place: Array, times: Sequence[Array]) -> list[Array]:
        """The theory's outputs (4, n) for each run."""
        return [self.theory.curves(v, t) for v, t in zip(self.values(place), times, strict=True)]

    def seen(self, place: Array) -> dict[str, Seen]:
        """Every curve as it is best seen at a place, without slopes."""
        outputs = self.outputs(place, self.times)
        return self._seen(outputs, [np.zeros((*rows.shape, 0)) for rows in outputs])

    def unexplained(self, place: Array) -> list[str]:
        """Curves whose gain is 0 at a place."""
        return [name for name, each in self.seen(place).items() if each.gain == 0]

    def lifted(self) -> "Problem":
        """The same problem with a gain above 0 of every curve, to leave places where one is 0."""
        lifted = copy(self)
        lifted.least = LEAST
        return lifted

    def _seen(self, outputs: list[Array], by_place: list[Array]) -> dict[str, Seen]:
        return {
            curve: seen(
                self.errors[curve],
                outputs[k][row][self.known[curve]],
                by_place[k][row][self.known[curve]],
                1 / self.units[curve],
                least=self.least,
            )
            for curve, (k, row) in self.where.items()
        }

    def _by_place(self, place: Array, by_value: list[Array]) -> list[Array]:
        slopes = [np.zeros((*rows.shape[:2], len(self.free))) for rows in by_value]
        for i, (free, x) in enumerate(zip(self.free, place, strict=True)):
            moved = free.parameter.slope(float(free.parameter.from_unit(x)))
            for k, j in free.places:
                slopes[k][..., i] += by_value[k][..., j] * moved
        return slopes

    def residuals(self, place: Array) -> Array:
        """Residuals of all curves' samples, in their units."""
        parts = [each.residual / self.units[name] for name, each in self.seen(place).items()]
        together = np.concatenate(parts)
        return np.nan_to_num(together, nan=WORST, posinf=WORST, neginf=-WORST)

    def slopes(self, place: Array) -> Array:
        """Their derivatives by place (n, free)."""
        by_run = [
            self.theory.curves_and_slopes(v, t)
            for v, t in zip(self.values(place), self.times, strict=True)
        ]
        by_place = self._by_place(place, [by_value for _, by_value in by_run])
        found = self._seen([outputs for outputs, _ in by_run], by_place)
        parts = [each.slopes / self.units[name][:, None] for name, each in found.items()]
        return np.nan_to_num(np.concatenate(parts), nan=0.0, posinf=0.0, neginf=0.0)

    def cost(self, place: Array) -> float:
        """Mean squared residual."""
        return float(np.mean(self.residuals(place) ** 2))

    def of_runs(self, runs: Sequence[Curves]) -> "Problem":
        """The same problem with other runs."""
        return Problem(
            runs,
            self.theory,
            shared=self.shared,
            fixed=self.fixed,
            tolerance=self.tolerance,
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values, of which `of_dict` makes the same problem."""
        return {
            "theory": self.theory.name,
            "runs": [run.to_dict() for run in self.runs],
            "shared": list(self.shared),
            "fixed": self.fixed,
            "tolerance": self.tolerance,
        }

    @classmethod
    def of_dict(cls, saved: dict[str, Any], theory: Theory | None = None) -> Self:
        """The inverse of `to_dict`; a theory without a name in `theories()` is to be given."""
        if theory is not None and theory.name != saved["theory"]:
            raise UsageError(f"the problem is of the theory {saved['theory']}, not {theory.name}")
        return cls(
            [Curves.of_dict(run) for run in saved["runs"]],
            theory_of(saved["theory"]) if theory is None else theory,
            shared=saved["shared"],
            fixed=saved["fixed"],
            tolerance=saved["tolerance"],
        )


def _to_fixed(name: str, value: Any) -> float | str:
    """A fixed value as a float, or the name of a parameter; `UsageError` for another kind."""
    if isinstance(value, str):
        return value
    if not isinstance(value, numbers.Real) or isinstance(value, bool):
        raise UsageError(f"{name} is fixed to {value!r:.80}; give a number, or a parameter's name")
    return float(value)


def check_value(parameter: Parameter, value: float, unit: float) -> None:
    """Raise `UsageError` unless a parameter can have a value: up to the upper end of its search.

    What is searched by its logarithm may lie below the search too, down to 0.

    unit : what values of the search are to be multiplied with
    """
    lowest, highest = (unit * end for end in (parameter.lower, parameter.upper))
    if parameter.logarithmic:
        lowest = 0.0
    if not lowest <= value <= highest:
        raise UsageError(
            f"{parameter.name} is {value:g}; choose a number from {lowest:.3g} to {highest:.3g}"
        )


def _labels(runs: Sequence[Curves]) -> list[str]:
    """What stands before a run's own names: nothing, if it is the only one."""
    if len(runs) == 1:
        return [""]
    # of a folder such as `init_seed=5,data.mode=bursty`; commas separate names in commands
    names = [run.source.removesuffix(f", {run.metric}").replace(",", "+") for run in runs]
    earlier = [names[:k].count(name) for k, name in enumerate(names)]
    return [f"{n}#{same + 1}/" if same else f"{n}/" for n, same in zip(names, earlier, strict=True)]
