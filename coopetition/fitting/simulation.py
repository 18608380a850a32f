"""Curves that a theory makes, with noise that is correlated in time: to test what fits recover."""

from collections.abc import Mapping

import numpy as np

from coopetition.fitting.curves import Curves
from coopetition.fitting.estimate import MIN_SAMPLES
from coopetition.fitting.noise import correlated_noise
from coopetition.fitting.observation import to_errors
from coopetition.fitting.problem import check_value
from coopetition.fitting.registry import theory_of
from coopetition.fitting.theory import Theory
from coopetition.tools.checks import check_bound, check_int, check_number
from coopetition.tools.errors import UsageError, check_type

LENGTH = 1e6  # sequences
FLOOR, GAIN = 0.05, 1.5  # of the curves


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

    A curve is 0.05 + 1.5 x the theory's error (floor and gain), plus noise; values below 0 become
    0.  Those of a readout, as `toy_readout`, are accuracies, in which values above 1 become 1.
    Samples are evenly spaced, from 0 to 1,000,000 sequences; for a run of another length, scale its
    times to this one.

    Parameters
    ----------
    values : all its parameters; in sequences if their unit has time
    n : samples of each curve
    noise : standard deviation of the noise, as a share of that of the curve without noise; for a
        readout, of the mean over its curves
    correlation : of the noise of neighbouring samples, from 0 to below 1
    seed : random seed of the noise

    Raises
    ------
    UsageError : a parameter that is missing, unknown or out of its range, or another wrong value
    """
    theory = theory_of(theory)
    check_type(values, Mapping, "the values of parameters by name, as {'mu1': 0.1}")
    check_int("the number of samples", n, MIN_SAMPLES)
    check_number("noise", noise, positive=True)
    seed = check_int("seed", seed, 0)
    if not 0 <= check_bound("correlation", correlation) < 1:
        raise UsageError(f"the correlation of noise is {correlation}; choose one from 0 to below 1")
    missing, unknown = {*theory.names} - {*values}, {*values} - {*theory.names}
    if missing or unknown:
        lists = (("missing", missing), ("unknown", unknown))
        found = "; ".join(f"{kind}: {', '.join(sorted(names))}" for kind, names in lists if names)
        raise UsageError(
            f"{found}; the theory {theory.name} has the parameters {', '.join(theory.names)}"
        )
    for parameter in theory.parameters:
        check_value(parameter, values[parameter.name], LENGTH**-parameter.per_time)
    by_length = np.array([values[p.name] * LENGTH**p.per_time for p in theory.parameters])
    times, rng = np.linspace(0, 1, n), np.random.default_rng(seed)
    measured = {}
    errors = dict(zip(theory.curve_names, theory.curves(by_length, times), strict=True))
    floor, gain = (FLOOR, GAIN) if theory.has_levels else (0.0, 1.0)
    metric, highest = ("loss", np.inf) if theory.has_levels else ("in_context_accuracy", 1.0)
    deviations = {name: gain * float(np.std(errors[name])) for name in theory.fitted_curves}
    if not theory.has_levels:  # the curves have one noise
        deviations = dict.fromkeys(deviations, float(np.mean([*deviations.values()])))
    for name in theory.fitted_curves:
        curve = floor + gain * errors[name]
        deviation = noise * deviations[name] * correlated_noise(rng, n, correlation)
        measured[name] = to_errors(np.clip(curve + deviation, 0.0, highest), metric)
    return Curves(times * LENGTH, measured, f"simulated by {theory.name}", metric)
