"""Laws of an event's time in rate and batch size, and how well they describe unseen cells.

With r and b the rate and the batch size over those of the base run, q = r / sqrt(b) the noise level
and tau = r sqrt(b) x steps the clock of the square-root scaling rule (`scaling`), an event is at

- `CONSTANT`: tau is the same everywhere;
- `POWER`: steps = c r^-A b^-B, with two free exponents;
- `SCALING`: tau = c q^p, the power laws that obey the rule;
- `SUM`: tau = drift + count q, which obeys it, too;
- `SIGNAL_TO_NOISE`: tau^2 = A^2 + B^2 q tau, and this as well.

The last is a law of memories.  In the clock, a weight's drift v is constant, and its random walk
has a variance of g q a unit of tau; nothing drives it back.  What is stored in many weights can be
read once its signal, v tau, exceeds z times its noise, sqrt(s^2 + g q tau), with s that of the
start.  So A = z s / v and B = z sqrt(g) / v.  It and the sum were found on the first ten cells of
the grid.

All are fitted by maximum likelihood, with the logarithm of the steps normal about that of the law,
an offset for each seed, and runs that end before the event censored.
"""

import math
from collections.abc import Callable, Sequence
from itertools import chain
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from coopetition.tools.files import markdown_table
from paper_figures.core.runs import FigureRun, kept_runs
from paper_figures.studies.clocks.exponents import (
    EVENTS,
    Interval,
    Observation,
    jackknife,
    observe,
    t_interval,
)
from paper_figures.studies.clocks.predictions import Find, find_runs
from paper_figures.studies.clocks.scaling import CLOCK, NOISE
from transformer.experiments.clocks import MAIN

Array = NDArray[np.floating]


class Law(NamedTuple):
    """A law of the steps to an event.

    log_steps : (parameters, logs of rate and batch (n, 2)) -> (n,)
    start : parameters at which the fit begins, for times of order 1
    n_times : number of leading parameters that are logarithms of times
    depends_on : (2, k) combinations of both logs that must vary, so that cells determine the law
    """

    name: str
    log_steps: Callable[[Array, Array], Array]
    start: tuple[float, ...]
    n_times: int
    depends_on: Array


ON_NOISE = np.transpose([NOISE])
CONSTANT = Law("constant", lambda p, logs: p[0] - logs @ CLOCK, (0.0,), 1, np.empty((2, 0)))
POWER = Law("power law", lambda p, logs: p[0] - logs @ p[1:3], (0.0, 0.5, 0.5), 1, np.eye(2))
SCALING = Law(
    "scaling rule",
    lambda p, logs: p[0] + p[1] * (logs @ NOISE) - logs @ CLOCK,
    (0.0, 0.5),
    1,
    ON_NOISE,
)
SUM = Law(
    "sum",
    lambda p, logs: np.logaddexp(p[0], p[1] + logs @ NOISE) - logs @ CLOCK,
    (-0.7, -0.7),
    2,
    ON_NOISE,
)


def signal_time(a: Array, b2: Array, level: Array) -> Array:
    """Return tau with tau^2 = a^2 + b2 level tau, in the clock of the scaling rule."""
    linear = b2 * level
    return (linear + np.sqrt(linear**2 + 4 * a**2)) / 2


def time_at_level(time: float, ratio: float, level: float) -> float:
    """Return tau at a noise level of an event that is at `time` at level 1, with b2 / a^2 given."""
    a2 = time**2 / (1 + ratio * time)
    return signal_time(np.array(math.sqrt(a2)), np.array(ratio * a2), np.array(level)).item()


SIGNAL_TO_NOISE = Law(
    "signal to noise",
    lambda p, logs: (
        np.log(signal_time(np.exp(p[0]), np.exp(p[1]), np.exp(logs @ NOISE))) - logs @ CLOCK
    ),
    (-0.7, -0.7),
    2,
    ON_NOISE,
)
LAWS = (CONSTANT, POWER, SCALING, SUM, SIGNAL_TO_NOISE)


class FittedLaw(NamedTuple):
    """A law with its parameters and the offset of each seed, whose mean is 0."""

    law: Law
    parameters: Array
    offsets: dict[int, float]

    @property
    def times(self) -> Array:
        """The leading parameters, in steps of the base run."""
        return np.exp(self.parameters[: self.law.n_times])

    def log_steps(self, observations: Sequence[Observation]) -> Array:
        """Return the logarithm of the expected steps; unknown seeds have no offset."""
        logs = np.array([each.logs for each in observations])
        offsets = [self.offsets.get(each.seed, 0.0) for each in observations]
        return self.law.log_steps(self.parameters, logs) + offsets


def fit_law(observations: Sequence[Observation], law: Law) -> FittedLaw:
    """Return the most likely parameters of a law."""
    from scipy.optimize import minimize
    from scipy.special import log_ndtr

    logs = np.array([each.logs for each in observations])
    y = np.log([each.steps for each in observations])
    censored = np.array([each.is_censored for each in observations])
    seeds = sorted({each.seed for each in observations})
    is_seed = np.array([[each.seed == seed for seed in seeds] for each in observations], float)
    is_seed -= 1 / len(seeds)  # so that their mean is no offset
    unit, n = float(np.median(y)), len(law.start)

    def deviance(p: Array) -> float:
        mean = unit + law.log_steps(p[:n], logs) + is_seed @ p[n:-1]
        z = (y - mean) * np.exp(-p[-1])
        return float(-2 * np.sum(np.where(censored, log_ndtr(-z), -(z**2) / 2 - p[-1])))

    start = np.array([*law.start, *[0.0] * len(seeds), -1.0])
    # offsets are determined up to a constant, which does not matter: they are centred
    found = minimize(deviance, start, method="BFGS", options={"gtol": 1e-6}).x
    parameters, offsets = found[:n].copy(), found[n:-1] - found[n:-1].mean()
    parameters[: law.n_times] += unit
    return FittedLaw(law, parameters, dict(zip(seeds, offsets.tolist(), strict=True)))


def is_determined(observations: Sequence[Observation], law: Law) -> bool:
    """Return whether the cells in which the event was seen differ in all that a law depends on."""
    seen = [each.logs for each in observations if not each.is_censored]
    places = np.array(seen).reshape(-1, 2) @ law.depends_on
    n_varied = np.linalg.matrix_rank(places - places.mean(axis=0)) if places.size else 0
    return bool(seen) and n_varied == places.shape[1]


def held_out_error(observations: Sequence[Observation], law: Law) -> float | None:
    """Return the factor by which a law misses the runs of a cell that it is not fitted to.

    It is the exponential of the root mean square over runs.  A run that ends before the event
    counts only if the event is expected within it.  None if without some cell the others do not
    determine the law.
    """
    errors: list[float] = []
    for cell in {each.cell for each in observations}:
        own = [each for each in observations if each.cell == cell]
        known = [each for each in observations if each.cell != cell]
        if not is_determined(known, law):
            return None
        for each, expected in zip(own, fit_law(known, law).log_steps(own), strict=True):
            missed = math.log(each.steps) - float(expected)
            if not each.is_censored or missed > 0:
                errors.append(missed)
    return math.exp(math.sqrt(np.mean(np.square(errors))))


def noise_ratio(observations: Sequence[Observation]) -> Interval:
    """Return B^2 / A^2, in 1 / (steps of the base run); the interval is a jackknife of cells."""

    def log_ratio(seen: Sequence[Observation]) -> list[float]:
        a, b2 = fit_law(seen, SIGNAL_TO_NOISE).times
        return [math.log(b2 / a**2)]

    cells = {each.cell for each in observations}
    value = np.array(log_ratio(observations))
    others = [log_ratio([each for each in observations if each.cell != cell]) for cell in cells]
    error = math.sqrt(jackknife(value, np.array(others)).item())
    found = t_interval(value.item(), error, len(cells) - 2)
    return Interval(math.exp(found.value), math.exp(found.low), math.exp(found.high))


def main_runs(find: Find = find_runs) -> list[FigureRun]:
    """Return runs of the coopetition paper's main task, at three noise levels."""
    kept = (kept_runs("coopetition/main", scale=scale) for scale in ("paper", "cpu"))
    return [*chain.from_iterable(kept), *find(MAIN)]


def laws_table(find: Find = find_runs) -> str:
    """Return held-out errors of all laws in the grid and in the main task, in Markdown."""
    rows = []
    for name, runs in (("grid", find("grid_*")), ("main task", main_runs(find))):
        for event in EVENTS:
            observed = observe(runs, event)
            errors = (held_out_error(observed, law) for law in LAWS)
            texts = ("-" if each is None else f"{each:.2f}" for each in errors)
            n_seen = sum(not each.is_censored for each in observed)
            rows.append((name, event, f"{n_seen}", *texts))
    return markdown_table(("runs", "event", "n", *(law.name for law in LAWS)), rows)


def memory_table(find: Find = find_runs) -> str:
    """Return the numbers of the signal-to-noise law in the grid, in Markdown."""
    runs, rows = find("grid_*"), []
    for event in EVENTS:
        observed = observe(runs, event)
        a, b2 = fit_law(observed, SIGNAL_TO_NOISE).times
        ratio = noise_ratio(observed)
        interval = f"{1000 * ratio.value:.2g} ({1000 * ratio.low:.2g}, {1000 * ratio.high:.2g})"
        rows.append((event, f"{a:,.0f}", f"{b2:,.0f}", interval))
    return markdown_table(("event", "A", "B²", "1000 B² / A²"), rows)
