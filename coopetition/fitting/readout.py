"""Observation by signal detection: four accuracies from two strengths, without floor and gain.

Beside the affine observation of `least_squares`, which lets every curve choose its floor and gain
and knows no Flip.  ICL and CIWL have strengths z_icl and z_ciwl, which are added and read out with
normal noise; the four errors are

    train: Phi(-(z_icl + z_ciwl)),    flip: Phi(-(z_icl - z_ciwl)),
    icl: Phi(-z_icl),                 ciwl: Phi(-z_ciwl).

A strength is what a theory says is learnt, 1 - error / (error of nothing learnt), times a gain for
each strategy.  A theory whose errors are those of a readout (`Theory.reads_out`) gives the
strengths themselves and needs no gains.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from coopetition.fitting.curves import Curves
from coopetition.fitting.estimate import minimize_in_search
from coopetition.fitting.least_squares import ACCURACY, to_errors
from coopetition.fitting.theory import OUTPUTS, Parameter, Theory, theory_of
from coopetition.model.presets import CIWL, ICL
from coopetition.model.two_cues import SIGNS
from coopetition.tools.errors import UsageError
from coopetition.tools.results import JsonResult

Array = NDArray[np.float64]

GAINS = tuple(
    Parameter(name=f"{name}_strength", description=f"strength of {name} when learnt", lower=0.1,
              upper=9.0)
    for name in (ICL, CIWL)
)  # fmt: skip
SMALLEST = 1e-9  # an error below it counts as this
IMPOSSIBLE = 10.0  # residual of curves that cannot be computed


@dataclass(frozen=True, slots=True, repr=False)
class ReadoutFit(JsonResult):
    """A fit to accuracies of all four kinds.  It has no intervals.

    values : parameters, with times in units of the run's length
    r2 : by curve;  rmse : root mean square residual of all curves
    """

    kind: ClassVar[str] = "a saved fit by readout"

    theory: str
    values: dict[str, float]
    r2: dict[str, float]
    rmse: float

    @classmethod
    def from_saved(cls, saved: dict[str, Any]) -> Self:
        """See `JsonResult`; the R² of a constant curve is NaN, which JSON writes as null."""
        r2 = {name: np.nan if x is None else x for name, x in saved["r2"].items()}
        return cls(**{**saved, "r2": r2})

    def headline(self) -> str:
        """Return one line; see `Result`."""
        r2 = ", ".join(f"{name} {value:.2f}" for name, value in self.r2.items())
        return f"of {self.theory}: root mean square residual {self.rmse:.3f}, R² of {r2}"

    def columns(self) -> dict[str, list[Any]]:
        """Return the parameters; see `Result`."""
        return {"parameter": [*self.values], "value": [*self.values.values()]}


def parameters_of(theory: Theory) -> tuple[Parameter, ...]:
    """Return the free numbers of a theory that is read out."""
    return theory.parameters if theory.reads_out else (*theory.parameters, *GAINS)


def read_out(theory: Theory, values: Array, times: Array) -> tuple[Array, Array]:
    """Return the errors of `SIGNS` (4, n) and their derivatives (4, n, parameters)."""
    from scipy.special import ndtr, ndtri

    n_own, rows = len(theory.parameters), [OUTPUTS.index(ICL), OUTPUTS.index(CIWL)]
    curves, jacobian = theory.curves_and_jacobian(values[:n_own], times)
    errors, slopes = curves[rows], jacobian[rows]
    if theory.reads_out:
        strengths = -ndtri(np.clip(errors, SMALLEST, 1 - SMALLEST))
        slopes = -slopes / _density(strengths)[..., None]
    else:
        gains = values[n_own:, None]
        learnt = 1 - errors / theory.unlearnt
        strengths = gains * learnt
        of_gains = np.eye(2)[:, None, :] * learnt[..., None]
        slopes = np.concatenate([-gains[..., None] * slopes / theory.unlearnt, of_gains], axis=2)
    signs = np.array([*SIGNS.values()], float)
    signals = signs @ strengths
    return ndtr(-signals), -_density(signals)[..., None] * np.einsum("ks,snp->knp", signs, slopes)


def _density(z: Array) -> Array:
    return np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)


def fit_readout(
    curves: Curves,
    theory: str | Theory,
    *,
    n_samples: int = 60,
    n_screened: int = 1024,
    n_starts: int = 10,
    seed: int = 0,
) -> ReadoutFit:
    """Fit a theory to accuracies by least squares, from the best of many starts.

    curves : accuracies named train, icl, ciwl and flip; thinned to `n_samples`
    """
    from scipy.stats import qmc

    theory = theory_of(theory)
    if ACCURACY not in curves.metric:
        raise UsageError(
            f"{curves.source} has the metric {curves.metric}; a readout is of accuracies"
        )
    run = curves.select(tuple(SIGNS)).thinned(n_samples)
    measured = np.stack([to_errors(run.values[name], run.metric) for name in SIGNS])
    times = (run.sequences - run.sequences[0]) / np.ptp(run.sequences)
    parameters, known = parameters_of(theory), np.isfinite(measured)

    def values_at(places: Array) -> Array:
        return np.array([each.from_unit(x) for each, x in zip(parameters, places, strict=True)])

    def evaluate(places: Array) -> tuple[Array, Array]:
        values = values_at(places)
        with np.errstate(all="ignore"):  # where curves cannot be computed
            errors, jacobian = read_out(theory, values, times)
        scales = [each.derivative(x) for each, x in zip(parameters, values, strict=True)]
        residuals = np.nan_to_num((errors - measured)[known], nan=IMPOSSIBLE)
        return residuals, np.nan_to_num(jacobian[known] * scales, nan=0.0, posinf=0.0, neginf=0.0)

    places = qmc.Sobol(len(parameters), rng=seed).random(n_screened)
    costs = [float(np.sum(evaluate(each)[0] ** 2)) for each in places]
    starts = places[np.argsort(costs)[:n_starts]]
    fits = [minimize_in_search(evaluate, each, 200, tolerance=1e-8) for each in starts]
    values = values_at(min(fits, key=lambda each: each.cost).x)
    errors, _ = read_out(theory, values, times)
    misses = np.where(known, errors - measured, np.nan)
    variance = np.nanvar(measured, axis=1)
    r2 = 1 - np.nanmean(misses**2, axis=1) / np.where(variance > 0, variance, np.nan)
    return ReadoutFit(
        theory.name,
        {each.name: float(x) for each, x in zip(parameters, values, strict=True)},
        dict(zip(SIGNS, r2.tolist(), strict=True)),
        float(np.nanmean(misses**2)) ** 0.5,
    )
