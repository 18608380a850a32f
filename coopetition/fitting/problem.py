"""The problem of a fit: how far a theory is from the curves of one run, or of several at once.

Curves are observed as `observation` says.  Time is linear in sequences seen: the learning rate is
assumed constant.  No theory here describes the early phase in which a network learns to answer with
a label in context; leave it out (`Curves.between`, `--from`), as a rule up to nine tenths of the
time of emergence if accuracies show that.
"""

import math
import numbers
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from coopetition.fitting.common_noise import Residuals, largest_common_rho
from coopetition.fitting.curves import Curves
from coopetition.fitting.likelihood import CurveProducts, largest_rho
from coopetition.fitting.noise import Noise, whiten
from coopetition.fitting.observation import Observed, Whitened, compiled_observe, to_errors
from coopetition.fitting.readout import Readout
from coopetition.fitting.registry import theory_of
from coopetition.fitting.theory import Parameter, Theory
from coopetition.tools.checks import check_bound
from coopetition.tools.errors import UsageError, check_type

Array = NDArray[np.float64]

LIFTED_GAIN = 1.0  # least share of a curve's deviation in a lifted problem
# where a theory cannot be computed
WORST = 1e3  # whitened residual
IMPOSSIBLE = -1e10  # log likelihood


@dataclass(frozen=True, slots=True)
class FreeParameter:
    """A fitted number: a parameter of one run or of several.

    slots : (run, index of the theory's parameter) that take its value
    """

    name: str
    parameter: Parameter
    slots: tuple[tuple[int, int], ...]


class FitProblem:
    """Residuals of the curves of one or more runs as a function of the free parameters.

    theta (free,) holds the free parameters as places in their search range, from 0 to 1
    (`Parameter.from_unit`).  With several runs, curves are called `RUN/icl`, and so are parameters
    that are not shared.

    runs : curves of `Theory.fitted_curves` each, checked (`estimate.check_and_thin`)
    shared : parameters that are the same in all runs
    fixed : values of parameters, in sequences if their unit has time, or the name of another
        parameter, which they equal
    """

    def __init__(
        self,
        runs: Sequence[Curves],
        theory: Theory,
        *,
        shared: str | Sequence[str] = (),
        fixed: Mapping[str, float | str] | None = None,
    ) -> None:
        self.runs, self.theory = tuple(runs), theory
        self.shared = (shared,) if isinstance(shared, str) else tuple(shared)
        check_type(fixed or {}, Mapping, "fixed values by name, as {'mu1': 0.1}")
        self.fixed = {name: _to_fixed(name, value) for name, value in (fixed or {}).items()}
        self.labels, self.least_gain = _labels(self.runs), 0.0
        if both := sorted({*self.shared} & {*self.fixed}):
            raise UsageError(
                f"{', '.join(both)} cannot be shared and fixed; leave out one of the two"
            )
        if self.shared and len(self.runs) == 1:
            raise UsageError(f"{', '.join(self.shared)} cannot be shared by one run; give several")
        # all runs have one unit of time, so that they can share a pace
        self.unit_of_time = max(float(np.ptp(run.sequences)) for run in self.runs)
        self.times = [self.time(k, run.sequences) for k, run in enumerate(self.runs)]
        self.errors: dict[str, Array] = {}
        self.known: dict[str, NDArray[np.bool_]] = {}
        self.units: dict[str, Array] = {}  # standard deviations of samples, relative to their mean
        self.where: dict[str, tuple[int, int]] = {}  # curve -> run, row of the theory's outputs
        for k, run in enumerate(self.runs):
            for name in theory.fitted_curves:
                if name in run.values:
                    self._add_curve(k, name)
        self._set_noise(
            {
                name: Noise(float(np.std(np.concatenate([self.errors[n] for n in group]))), 0.0)
                for group in self.noise_groups
                for name in group
            }
        )
        self._log_units = sum(float(np.log(unit).sum()) for unit in self.units.values())
        self.free, self._values = self._find_free()

    def _add_curve(self, k: int, name: str) -> None:
        run, curve = self.runs[k], self.labels[k] + name
        errors = to_errors(run.values[name], run.metric)
        known = np.isfinite(errors)
        unit = run.std[name][known] if name in run.std else np.ones(known.sum())
        self.errors[curve], self.known[curve] = errors[known], known
        self.units[curve] = unit / unit.mean()
        self.where[curve] = k, self.theory.curve_names.index(name)

    @property
    def noise_groups(self) -> list[tuple[str, ...]]:
        """Curves with one noise: each has its own, but those of a run share it with a readout."""
        groups: dict[str | int, tuple[str, ...]] = {}
        for name, (run, _) in self.where.items():
            group = name if self.theory.has_levels else run
            groups[group] = (*groups.get(group, ()), name)
        return [*groups.values()]

    def largest_rho(self, n: int) -> float:
        """Return the largest correlation of noise in a curve of n samples."""
        return largest_rho(n) if self.theory.has_levels else largest_common_rho(n)

    def _find_free(self) -> tuple[tuple[FreeParameter, ...], Array]:
        """Return the free parameters, and the theory's parameters (runs, parameters) if fixed."""
        parameters = dict(zip(self.theory.names, self.theory.parameters, strict=True))
        for name in (*self.shared, *self.fixed):
            self._check_name(name)
        values = np.zeros((len(self.runs), len(parameters)))
        slots: dict[str, list[tuple[int, int]]] = {}
        for k, label in enumerate(self.labels):
            for j, (name, parameter) in enumerate(parameters.items()):
                value = self.fixed.get(name, name)
                if isinstance(value, str):
                    self._check_tie(parameter, value)
                    key = value if value in self.shared else label + value
                    slots.setdefault(key, []).append((k, j))
                else:
                    check_value(parameter, value, self.in_sequences(parameter))
                    values[k, j] = value / self.in_sequences(parameter)
        if not slots:
            raise UsageError("every parameter is fixed; leave one free")
        free = tuple(
            FreeParameter(key, parameters[key.rpartition("/")[2]], tuple(where))
            for key, where in slots.items()
        )
        return free, values

    def _check_name(self, name: str) -> None:
        if name not in self.theory.names:
            raise UsageError(
                f"the theory {self.theory.name} has no parameter {name!r}; it has "
                f"{', '.join(self.theory.names)}"
            )

    def _check_tie(self, parameter: Parameter, other: str) -> None:
        """Raise `UsageError` unless a parameter can equal another: a free one of the same unit."""
        self._check_name(other)
        possible = [
            each.name
            for each in self.theory.parameters
            if each.name not in self.fixed and each.per_time == parameter.per_time
        ]
        if other not in possible:
            raise UsageError(
                f"{parameter.name} is tied to {other}, which is not free or of another unit; tie "
                f"it to one of {', '.join(possible) or 'none'}"
            )

    @property
    def cautions(self) -> list[str]:
        """Reasons to doubt any fit of these curves, in sentences."""
        return [
            f"{label.removesuffix('/')}: {each}" if label else each
            for label, run in zip(self.labels, self.runs, strict=True)
            for each in run.cautions
        ]

    def in_sequences(self, parameter: Parameter) -> float:
        """Return the factor from the problem's unit of time to sequences, for a parameter."""
        return self.unit_of_time**-parameter.per_time

    def value_at(self, free: FreeParameter, x: Any) -> Any:
        """Return a free parameter at places in its search range, in sequences if it has time."""
        return free.parameter.from_unit(x) * self.in_sequences(free.parameter)

    @property
    def times_from(self) -> tuple[float, ...]:
        """The first sample of each run, in sequences."""
        return tuple(float(run.sequences[0]) for run in self.runs)

    def time(self, run: int, sequences: Array) -> Array:
        """Return times of a run's sequences, in the problem's unit, from its first sample."""
        return (sequences - self.runs[run].sequences[0]) / self.unit_of_time

    def values(self, theta: Array) -> Array:
        """Return the theory's parameters (runs, parameters)."""
        values = self._values.copy()
        for free, x in zip(self.free, theta, strict=True):
            for slot in free.slots:
                values[slot] = free.parameter.from_unit(x)
        return values

    def outputs(self, theta: Array, times: Sequence[Array]) -> list[Array]:
        """Return the theory's outputs (`curve_names`, n) for each run."""
        return [self.theory.curves(v, t) for v, t in zip(self.values(theta), times, strict=True)]

    def observe(self, theta: Array) -> dict[str, Observed]:
        """Return every curve with its best floor and gain for this noise, without a Jacobian."""
        outputs = self.outputs(theta, self.times)
        return self._observe(outputs, [np.zeros((*rows.shape, 0)) for rows in outputs])

    def _set_noise(self, noise: Mapping[str, Noise]) -> None:
        self.noise = dict(noise)
        self._whitened: dict[str, Whitened] = {}
        for name, (sigma, rho) in noise.items():
            unit = self.units[name] * sigma * math.sqrt(1 - rho**2)
            y, one = (whiten(each / unit, rho) for each in (self.errors[name], 1.0))
            self._whitened[name] = unit, rho, y, one

    def _observe(self, outputs: list[Array], jacobians: list[Array]) -> dict[str, Observed]:
        observe, found = compiled_observe(), {}
        for curve, (k, row) in self.where.items():
            f, df, known = outputs[k][row], jacobians[k][row], self.known[curve]
            whitened = self._whitened[curve]
            has_levels = self.theory.has_levels
            found[curve] = observe(f, df, known, whitened, self.least_gain, has_levels)
        return found

    def has_zero_gain(self, theta: Array) -> bool:
        """Return whether the gain of a curve is 0, so that its residuals do not depend on theta."""
        return any(each.gain == 0 for each in self.observe(theta).values())

    def lifted(self) -> "FitProblem":
        """Return the problem with all gains above 0, to leave a theta at which one is 0."""
        lifted = copy(self)
        lifted.least_gain = LIFTED_GAIN
        return lifted

    def with_noise(self, noise: Mapping[str, Noise]) -> "FitProblem":
        """Return the problem with residuals that are whitened for this noise of the curves."""
        other = copy(self)
        other._set_noise(noise)
        return other

    def residuals_and_jacobian(self, theta: Array) -> tuple[Array, Array]:
        """Return the whitened residuals of all samples (n,), and their Jacobian (n, free)."""
        observed = self._observe(*self.outputs_and_jacobians(theta)).values()
        residuals = np.concatenate([each.residual for each in observed])
        jacobian = np.concatenate([each.jacobian for each in observed])
        if not (np.isfinite(residuals).all() and np.isfinite(jacobian).all()):
            residuals = np.nan_to_num(residuals, nan=WORST, posinf=WORST, neginf=-WORST)
            jacobian = np.nan_to_num(jacobian, nan=0.0, posinf=0.0, neginf=0.0)
        return residuals, jacobian

    def outputs_and_jacobians(self, theta: Array) -> tuple[list[Array], list[Array]]:
        """Return the theory's outputs and their derivatives by theta, for each run."""
        values = self.values(theta)
        by_theta = np.zeros((*values.shape, len(self.free)))  # derivatives of the values
        for i, free in enumerate(self.free):
            for slot in free.slots:
                by_theta[(*slot, i)] = free.parameter.derivative(float(values[slot]))
        outputs, jacobians = [], []
        for own, own_by_theta, times in zip(values, by_theta, self.times, strict=True):
            curves, jacobian = self.theory.curves_and_jacobian(own, times)
            outputs.append(curves)
            with np.errstate(all="ignore"):  # where the theory cannot be computed
                jacobians.append(jacobian @ own_by_theta)
        return outputs, jacobians

    def likelihoods(self, theta: Array) -> dict[tuple[str, ...], CurveProducts | Residuals]:
        """Return what the likelihood of each group of curves with one noise needs."""
        outputs = self.outputs(theta, self.times)
        series = {
            name: (self.errors[name], outputs[k][row][self.known[name]], self.units[name])
            for name, (k, row) in self.where.items()
        }
        of = CurveProducts.of if self.theory.has_levels else Residuals.of
        return {group: of(*(series[name] for name in group)) for group in self.noise_groups}

    def most_likely_noise(self, theta: Array) -> tuple[dict[str, Noise], float]:
        """Return the most likely noise of every curve, and the deviance, -2 log likelihood.

        The deviance is infinite if a curve cannot be computed.
        """
        noise, total = {}, 2 * self._log_units
        for group, each in self.likelihoods(theta).items():
            own, deviance = each.most_likely_noise()
            noise |= dict.fromkeys(group, own)
            total += deviance
        return noise, total if math.isfinite(total) else math.inf

    def log_likelihood(self, theta: Array) -> float:
        """Return the log likelihood, integrated over floors, gains and noise; see `likelihood`."""
        parts = (each.integrate()[0] for each in self.likelihoods(theta).values())
        total = sum(parts) - self._log_units
        return total if math.isfinite(total) else IMPOSSIBLE

    def to_dict(self) -> dict[str, Any]:
        """Return values for JSON, from which `from_dict` makes the same problem."""
        return {
            "theory": self.theory.name,
            "runs": [run.to_saved() for run in self.runs],
            "shared": list(self.shared),
            "fixed": self.fixed,
        }

    @classmethod
    def from_dict(cls, saved: dict[str, Any], theories: Sequence[Theory]) -> Self:
        """Return the problem of `to_dict`.

        theories : that of the problem, or the one that it is the readout of; none if commands have
            a name for it
        """
        given = {each.name: each for theory in theories for each in (theory, Readout.of(theory))}
        if given and saved["theory"] not in given:
            names = ", ".join(theory.name for theory in theories)
            raise UsageError(f"the problem is of the theory {saved['theory']}, not {names}")
        return cls(
            [Curves.from_saved(run) for run in saved["runs"]],
            given.get(saved["theory"]) or theory_of(saved["theory"]),
            shared=saved["shared"],
            fixed=saved["fixed"],
        )


def _to_fixed(name: str, value: Any) -> float | str:
    """Return a fixed value as a float, or the name of a parameter; else raise `UsageError`."""
    if isinstance(value, str):
        return value
    if not isinstance(value, numbers.Real) or isinstance(value, bool):
        raise UsageError(f"{name} is fixed to {value!r:.80}; give a number, or a parameter's name")
    return float(value)


def check_value(parameter: Parameter, value: float, unit: float) -> None:
    """Raise `UsageError` unless a value lies in the search range of its parameter.

    If the range is logarithmic, the value may be lower than it, down to 0.

    unit : factor from values of the range to the unit of the value
    """
    lowest, highest = (unit * end for end in (parameter.lower, parameter.upper))
    if parameter.logarithmic:
        lowest = 0.0
    if not lowest <= check_bound(parameter.name, value) <= highest:
        raise UsageError(
            f"{parameter.name} is {value:g}; choose a number from {lowest:.3g} to {highest:.3g}"
        )


def _labels(runs: Sequence[Curves]) -> list[str]:
    """Return the prefixes of the runs' names: none if there is one run."""
    if len(runs) == 1:
        return [""]
    # of a folder such as `init_seed=5,data.mode=bursty`; commas separate names in commands
    names = [run.source.removesuffix(f", {run.metric}").replace(",", "+") for run in runs]
    earlier = [names[:k].count(name) for k, name in enumerate(names)]
    return [f"{n}#{same + 1}/" if same else f"{n}/" for n, same in zip(names, earlier, strict=True)]
