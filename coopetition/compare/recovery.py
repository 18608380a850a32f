"""Recovery of known parameters: fit curves that a theory made, and check the intervals.

Curves are those of a theory at given parameters, or at random ones from the middle of their search,
with noise that is correlated in time, and are fitted as measured ones are.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coopetition.compare.curves import FITTED_CURVES, Curves
from coopetition.compare.estimate import MIN_SAMPLES, fit
from coopetition.compare.identifiability import IDENTIFIABLE
from coopetition.compare.least_squares import check_value
from coopetition.compare.noise import correlated_noise
from coopetition.compare.result import Fit
from coopetition.compare.theory import TOY, Theory, theory_of
from coopetition.tools.checks import check_int, check_number
from coopetition.tools.console import ProgressReport
from coopetition.tools.errors import UsageError
from coopetition.tools.files import text_table
from coopetition.tools.results import Result

Array = NDArray[np.float64]

LENGTH = 1e6  # sequences
MIDDLE = (0.25, 0.75)  # part of a search from which random parameters are drawn
MIN_RANGE = 0.1  # of an error with random parameters
FLOOR, GAIN = 0.05, 1.5  # of the curves


@dataclass(frozen=True, slots=True)
class ParameterRecovery:
    """The recovery of one parameter over all problems.

    coverage : share of the problems in which the interval holds the truth
    identified : share in which its status is `identifiable`
    coverage_if_identified : coverage among these; None without any
    bias : median of estimate minus truth, in widths of the search
    spread : median absolute difference of the two, likewise
    """

    coverage: float
    identified: float
    coverage_if_identified: float | None
    bias: float
    spread: float


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Recovery(Result):
    """Coverage and bias by parameter.

    fits, truths : of every problem; truths by parameter, in sequences if its unit has time
    """

    theory: str
    parameters: dict[str, ParameterRecovery]
    fits: tuple[Fit, ...]
    truths: tuple[dict[str, float], ...]
    settings: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, without the fits."""
        return {
            "theory": self.theory,
            "parameters": {name: asdict(each) for name, each in self.parameters.items()},
            "n_problems": len(self.fits),
            "settings": self.settings,
        }

    def columns(self) -> dict[str, Any]:
        """Return truth, value, ends and status; a row is a parameter of a problem."""
        rows = [
            {"problem": k, "parameter": name, "truth": truth[name], **asdict(each)}
            for k, (found, truth) in enumerate(zip(self.fits, self.truths, strict=True))
            for name, each in found.parameters.items()
        ]
        return {name: [row[name] for row in rows] for name in rows[0]}

    def html_rows(self) -> list[tuple[str, ...]]:
        """Return a row for each parameter."""
        rows = [("parameter", "coverage", "identified", "coverage if so", "bias", "spread")]
        for name, each in self.parameters.items():
            c = each.coverage_if_identified
            rows.append(
                (
                    name,
                    f"{each.coverage:.2f}",
                    f"{each.identified:.2f}",
                    "-" if c is None else f"{c:.2f}",
                    f"{each.bias:.3f}",
                    f"{each.spread:.3f}",
                )
            )
        return rows

    def summary(self) -> str:
        """Return a table of text."""
        head = f"{len(self.fits)} problems of the theory {self.theory}, 90 % intervals"
        return f"{head}\n{text_table(self.html_rows())}"

    def headline(self) -> str:
        """Return the theory and the coverage of every parameter."""
        coverage = ", ".join(f"{name} {e.coverage:.2f}" for name, e in self.parameters.items())
        return f"of {self.theory}: coverage {coverage}"


def simulate(
    theory: str | Theory,
    values: Mapping[str, float],
    *,
    n: int = 100,
    noise: float = 0.02,
    correlation: float = 0.5,
    seed: int = 0,
) -> Curves:
    """Return curves of a theory over 1,000,000 sequences, with noise.

    Parameters
    ----------
    values : all its parameters; in sequences if their unit has time
    n : samples of each curve
    noise : standard deviation, in units of a curve's deviation
    correlation : of the noise of neighbouring samples
    """
    theory = theory_of(theory)
    check_int("the number of samples", n, MIN_SAMPLES)
    check_number("noise", noise, positive=True)
    if not 0 <= correlation < 1:
        raise UsageError(f"the correlation of noise is {correlation}; choose one from 0 to below 1")
    if unknown := [name for name in values if name not in theory.names]:
        raise UsageError(
            f"the theory {theory.name} has no parameter {', '.join(unknown)}; it has "
            f"{', '.join(theory.names)}"
        )
    if missing := [name for name in theory.names if name not in values]:
        raise UsageError(f"values of {', '.join(missing)} are missing; give all or none")
    for parameter in theory.parameters:
        check_value(parameter, values[parameter.name], LENGTH**-parameter.per_time)
    by_length = np.array([values[p.name] * LENGTH**p.per_time for p in theory.parameters])
    times, rng = np.linspace(0, 1, n), np.random.default_rng(seed)
    measured = {}
    for name, error in zip(FITTED_CURVES, theory.curves(by_length, times), strict=False):
        curve = FLOOR + GAIN * error
        deviation = noise * np.std(curve) * correlated_noise(rng, n, correlation)
        measured[name] = np.maximum(curve + deviation, 0.0)
    return Curves(times * LENGTH, measured, f"simulated by {theory.name}")


def random_values(theory: Theory, rng: np.random.Generator) -> dict[str, float]:
    """Return random parameters from the middle of their search, in sequences.

    All curves with them vary, and none is cut off at 0.
    """
    times = np.linspace(0, 1, 50)
    for _ in range(1000):
        x = rng.uniform(*MIDDLE, len(theory.parameters))
        values = [float(p.from_unit(each)) for p, each in zip(theory.parameters, x, strict=True)]
        rows = theory.curves(np.array(values), times)[: len(FITTED_CURVES)]
        varies = np.isfinite(rows).all() and (np.ptp(rows, axis=1) > MIN_RANGE).all()
        if varies and FLOOR + GAIN * rows.min() > 0:
            pairs = zip(theory.parameters, values, strict=True)
            return {p.name: value * LENGTH**-p.per_time for p, value in pairs}
    raise UsageError(f"the theory {theory.name} makes no curves that vary; give values")


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
    """Return coverage and bias of fits to curves that the theory made.

    Parameters
    ----------
    values : parameters, as for `simulate`; default: random ones for each problem
    n, noise, correlation : as for `simulate`
    settings : of `fit`
    """
    theory = theory_of(theory)
    check_int("the number of problems", n_problems, 1)
    check_int("seed", seed, 0)
    about = {"n": n, "noise": noise, "correlation": correlation}
    fits, truths = [], []
    with ProgressReport("recover", n_problems, "problems") as report:
        for k in range(n_problems):
            rng = np.random.default_rng([seed, k])
            truth = random_values(theory, rng) if values is None else dict(values)
            curves = simulate(
                theory,
                truth,
                n=n,
                noise=noise,
                correlation=correlation,
                seed=int(rng.integers(2**32)),
            )
            fits.append(fit(curves, theory, seed=k, **settings))
            truths.append(truth)
            report.advance()
    about |= {"seed": seed, "values": values} | settings
    recovered = {p.name: _recovery_of(theory, p.name, fits, truths) for p in theory.parameters}
    return Recovery(theory.name, recovered, tuple(fits), tuple(truths), about)


def _recovery_of(
    theory: Theory, name: str, fits: list[Fit], truths: list[dict[str, float]]
) -> ParameterRecovery:
    parameter = theory.parameters[theory.names.index(name)]
    unit = LENGTH**parameter.per_time
    estimates, true = [each.parameters[name] for each in fits], [each[name] for each in truths]
    pairs = list(zip(estimates, true, strict=True))
    error = [parameter.to_unit(e.value * unit) - parameter.to_unit(t * unit) for e, t in pairs]
    is_covered = np.array([e.low <= t <= e.high for e, t in pairs])
    is_identified = np.array([e.status == IDENTIFIABLE for e in estimates])
    return ParameterRecovery(
        float(is_covered.mean()),
        float(is_identified.mean()),
        float(is_covered[is_identified].mean()) if is_identified.any() else None,
        float(np.median(error)),
        float(np.median(np.abs(error))),
    )
