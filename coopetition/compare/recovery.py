"""Curves made by a theory and fitted back: do the intervals hold what they should?

Made are curves of a theory at given parameters, or at places drawn from the middle of their search,
plus noise that neighbours share, and fitted as measured ones are.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from coopetition.compare.curves import Curves
from coopetition.compare.estimate import MIN_SAMPLES, fit
from coopetition.compare.identifiability import IDENTIFIABLE
from coopetition.compare.least_squares import check_value
from coopetition.compare.noise import correlated_noise
from coopetition.compare.result import Fit
from coopetition.compare.theory import CURVES, TOY, Theory, theory_of
from coopetition.tools.checks import check_int, check_number
from coopetition.tools.console import ProgressReport
from coopetition.tools.errors import UsageError
from coopetition.tools.files import to_frame

if TYPE_CHECKING:
    from pandas import DataFrame

Array = NDArray[np.float64]

LENGTH = 1e6  # sequences
MIDDLE = (0.25, 0.75)  # of a search: where parameters are drawn from
LEAST_MOVE = 0.1  # of an error: drawn are curves that do something
FLOOR, GAIN = 0.05, 1.5  # of what is measured


@dataclass(frozen=True, slots=True)
class Recovered:
    """One parameter over all problems.

    coverage : share of the problems in which the interval holds the truth
    told : share in which it is called identifiable
    coverage_told : coverage among these; None without any
    bias : median of estimate minus truth, in places (widths of the search)
    spread : median distance of the two
    """

    coverage: float
    told: float
    coverage_told: float | None
    bias: float
    spread: float


@dataclass(frozen=True, slots=True, eq=False)
class Recovery:
    """Coverage and bias by parameter.

    fits, truths : of every problem, truths by parameter, in sequences where its unit has time
    """

    theory: str
    parameters: dict[str, Recovered]
    fits: tuple[Fit, ...]
    truths: tuple[dict[str, float], ...]
    settings: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, without the fits."""
        return {
            "theory": self.theory,
            "parameters": {name: asdict(each) for name, each in self.parameters.items()},
            "n_problems": len(self.fits),
            "settings": self.settings,
        }

    def to_frame(self) -> "DataFrame":
        """A row a problem and parameter: `truth`, `value`, `low`, `high`, `status`."""
        rows = [
            {"problem": k, "parameter": name, "truth": truth[name], **asdict(each)}
            for k, (found, truth) in enumerate(zip(self.fits, self.truths, strict=True))
            for name, each in found.parameters.items()
        ]
        return to_frame({name: [row[name] for row in rows] for name in rows[0]})

    def summary(self) -> str:
        """A table of text."""
        lines = [
            f"{len(self.fits)} problems of the theory {self.theory}, intervals of 9 in 10",
            f"{'parameter':16} coverage   told  coverage if told     bias   spread",
        ]
        for name, each in self.parameters.items():
            told = "-" if each.coverage_told is None else f"{each.coverage_told:.2f}"
            lines.append(
                f"{name:16} {each.coverage:8.2f} {each.told:6.2f} {told:>17} {each.bias:8.3f} "
                f"{each.spread:8.3f}"
            )
        return "\n".join(lines)

    def __repr__(self) -> str:
        told = ", ".join(f"{name} {each.coverage:.2f}" for name, each in self.parameters.items())
        return f"<Recovery of {self.theory}: coverage {told}>"


def simulate(
    theory: str | Theory,
    values: Mapping[str, float],
    *,
    n: int = 100,
    noise: float = 0.02,
    correlation: float = 0.5,
    seed: int = 0,
) -> Curves:
    """Curves that a theory makes in 1,000,000 sequences, with noise.

    Parameters
    ----------
    values : of all its parameters; in sequences where their unit has time
    noise : of a curve's deviation;  correlation : of that of neighbouring samples
    """
    theory = theory_of(theory) if isinstance(theory, str) else theory
    check_int("the number of samples", n, MIN_SAMPLES)
    check_number("noise", noise, positive=True)
    if not 0 <= correlation < 1:
        raise UsageError(f"the correlation of noise is {correlation}; choose one from 0 to below 1")
    if others := [name for name in values if name not in theory.names]:
        raise UsageError(
            f"the theory {theory.name} has no parameter {', '.join(others)}; it has "
            f"{', '.join(theory.names)}"
        )
    if missing := [name for name in theory.names if name not in values]:
        raise UsageError(f"values of {', '.join(missing)} are missing; give all or none")
    for parameter in theory.parameters:
        check_value(parameter, values[parameter.name], LENGTH**-parameter.per_time)
    given = np.array([values[p.name] * LENGTH**p.per_time for p in theory.parameters])
    times, rng = np.linspace(0, 1, n), np.random.default_rng(seed)
    rows = dict(zip(CURVES, theory.curves(given, times), strict=False))
    measured = {}
    for name, row in rows.items():
        curve = FLOOR + GAIN * row
        error = noise * np.std(curve) * correlated_noise(rng, n, correlation)
        measured[name] = np.maximum(curve + error, 0.0)
    return Curves(times * LENGTH, measured, f"simulated by {theory.name}")


def drawn_values(theory: Theory, rng: np.random.Generator) -> dict[str, float]:
    """Parameters from the middle of their search, of curves that all move and are never cut off.

    In sequences where their unit has time.
    """
    times = np.linspace(0, 1, 50)
    for _ in range(1000):
        places = rng.uniform(*MIDDLE, len(theory.parameters))
        pairs = zip(theory.parameters, places, strict=True)
        values = np.array([float(each.from_unit(x)) for each, x in pairs])
        rows = theory.curves(values, times)[: len(CURVES)]
        moves = np.isfinite(rows).all() and (np.ptp(rows, axis=1) > LEAST_MOVE).all()
        if moves and FLOOR + GAIN * rows.min() > 0:  # else what is measured were cut off at 0
            return _in_sequences(theory, values)
    raise UsageError(f"the theory {theory.name} makes no curves that move; give values")


def recover(
    theory: str | Theory = TOY,
    *,
    values: Mapping[str, float] | None = None,
    n_problems: int = 20,
    n: int = 100,
    noise: float = 0.02,
    correlation: float = 0.5,
    seed: int = 0,
    **settings: Any,
) -> Recovery:
    """Coverage and bias of fits to curves that the theory made; `settings` are `fit`'s.

    Parameters
    ----------
    values : parameters, as `simulate` takes them; without, others are drawn for each problem
    noise, correlation, n : as `simulate`
    """
    theory = theory_of(theory) if isinstance(theory, str) else theory
    check_int("the number of problems", n_problems, 1)
    check_int("seed", seed, 0)
    # what cannot be made is told before anything is done
    first = drawn_values(theory, np.random.default_rng([seed, 0])) if values is None else values
    simulate(theory, first, n=n, noise=noise, correlation=correlation, seed=seed)
    fits, truths = [], []
    with ProgressReport("recover", n_problems, "problems") as report:
        for k in range(n_problems):
            rng = np.random.default_rng([seed, k])
            own = drawn_values(theory, rng) if values is None else dict(values)
            of_noise = int(rng.integers(2**32))
            curves = simulate(theory, own, n=n, noise=noise, correlation=correlation, seed=of_noise)
            fits.append(fit(curves, theory, seed=k, **settings))
            truths.append(own)
            report.advance()
    about = {
        "n": n,
        "noise": noise,
        "correlation": correlation,
        "seed": seed,
        "values": values,
    } | settings
    found = {p.name: _recovered(theory, p.name, fits, truths) for p in theory.parameters}
    return Recovery(theory.name, found, tuple(fits), tuple(truths), about)


def _in_sequences(theory: Theory, values: Array) -> dict[str, float]:
    pairs = zip(theory.parameters, values, strict=True)
    return {p.name: float(v) * LENGTH**-p.per_time for p, v in pairs}


def _recovered(
    theory: Theory, name: str, fits: list[Fit], truths: list[dict[str, float]]
) -> Recovered:
    parameter = theory.parameters[theory.names.index(name)]
    unit = LENGTH**parameter.per_time
    off, held, told = [], [], []
    for found, truth in zip(fits, truths, strict=True):
        each = found.parameters[name]
        off.append(parameter.to_unit(each.value * unit) - parameter.to_unit(truth[name] * unit))
        held.append(each.low <= truth[name] <= each.high)
        told.append(each.status == IDENTIFIABLE)
    held, told = np.array(held), np.array(told)
    return Recovered(
        float(held.mean()),
        float(told.mean()),
        float(held[told].mean()) if told.any() else None,
        float(np.median(off)),
        float(np.median(np.abs(off))),
    )
