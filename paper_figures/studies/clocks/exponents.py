"""Times of events in runs, and the exponents of rate and batch size that they follow.

The logarithm of the steps to an event is linear in those of rate and batch size, with an intercept
for each initial seed: t ~ rate^-a batch^-b.

- A run that ends before an event is right-censored: its residual is normal above its length (the
  Tobit model).  The fit maximises this likelihood by expectation and maximisation; the variance is
  divided by degrees of freedom, so that without censored runs it is least squares.
- A run in which ICL is never preferred has no emergence, peak or fade, whatever its length: it is
  counted as absent, and left out.
- Errors: where no power law holds, runs of one cell (rate and batch size) deviate together.  The
  covariance is therefore the jackknife's over cells, and intervals are those of Student's t with
  cells - 3 degrees of freedom (MacKinnon, Nielsen, Webb 2023, J. Econometrics 232, 272-299).
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from coopetition.dynamics.events import RISEN
from paper_figures.core.runs import FigureRun
from transformer.experiments.clocks import BASE
from transformer.measures.transience import WINDOW, smooth

Array = NDArray[np.floating]
Cell = tuple[float, int]  # rate and batch size
LEVEL = 0.95  # of intervals
OF_ICL = ("emergence", "peak", "fade")  # events that need ICL to be preferred at some time
EVENTS = (*OF_ICL, "ciwl_75", "ciwl_90")
# exponents (a, b) of steps x rate^a x batch^b
CLOCKS: Mapping[str, tuple[float, float]] = {
    "steps": (0, 0),
    "sequences": (0, 1),
    "rate x steps": (1, 0),
    "rate x steps x sqrt(batch)": (1, 0.5),
}


@dataclass(frozen=True, slots=True)
class Observation:
    """An event of a run, or its end if the event is not by then."""

    rate: float
    batch: int
    seed: int
    steps: float
    is_censored: bool = False

    @property
    def cell(self) -> Cell:
        """Return the rate and the batch size."""
        return self.rate, self.batch

    @property
    def logs(self) -> tuple[float, float]:
        """Return the logarithms of rate and batch size, over those of the base run."""
        return math.log(self.rate / BASE[0]), math.log(self.batch / BASE[1])


@dataclass(frozen=True, slots=True)
class Interval:
    """A value with its 95 % interval; NaN without degrees of freedom."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        known = math.isfinite(self.low) or math.isfinite(self.high)
        return f"{self.value:.2f}" + (f" ({self.low:.2f}, {self.high:.2f})" if known else "")


@dataclass(frozen=True, slots=True, eq=False)
class Exponents:
    """Exponents (a, b) of the steps to an event.

    spread : factor of one standard deviation of a run's time about the power law
    """

    a: float
    b: float
    covariance: Array
    dof: int
    spread: float

    def __str__(self) -> str:
        return f"a = {self.combination(1, 0)}, b = {self.combination(0, 1)}"

    def combination(self, p: float, q: float) -> Interval:
        """Return p a + q b with its interval."""
        weights = np.array([p, q])
        value = p * self.a + q * self.b
        return t_interval(value, math.sqrt(weights @ self.covariance @ weights), self.dof)


def t_interval(value: float, error: float, dof: int) -> Interval:
    """Return a value with Student's interval for its standard error."""
    from scipy.stats import t

    half = float(t.ppf((1 + LEVEL) / 2, dof)) * error if dof > 0 else math.nan
    return Interval(value, value - half, value + half)


def event_steps(run: FigureRun) -> dict[str, float | None]:
    """Return the steps to each event; None if it is not within the run.

    The peak is that of Flip's mean over five evaluations, at the middle one.
    """
    events, curves = run.timeline(), run.curves().select(("flip",))
    smoothed = smooth(curves.values["flip"])
    top = int(np.argmax(smoothed))
    is_peak = events.flip_peak_at is not None and top < len(smoothed) - 1
    sequences = {
        "emergence": events.emergence,
        "peak": curves.sequences[top + WINDOW // 2] if is_peak else None,
        "fade": events.fade,
        "ciwl_75": events.ciwl_75,
        "ciwl_90": events.ciwl_90,
    }
    batch = run.batch_size
    return {name: None if x is None else float(x) / batch for name, x in sequences.items()}


def over_base(cell: Cell, exponents: Sequence[float]) -> float:
    """Return rate^p batch^q, over that of the base run, for exponents (p, q)."""
    p, q = map(float, exponents)
    return (cell[0] / BASE[0]) ** p * (cell[1] / BASE[1]) ** q


def cells_of(runs: Iterable[FigureRun]) -> dict[Cell, list[FigureRun]]:
    """Return runs by rate and batch size, in their order."""
    cells: dict[Cell, list[FigureRun]] = {}
    for run in sorted(runs, key=lambda run: (run.learning_rate, run.batch_size)):
        cells.setdefault((run.learning_rate, run.batch_size), []).append(run)
    return cells


def has_icl(run: FigureRun) -> bool:
    """Return whether ICL is preferred at some time: Flip exceeds one half beyond its noise."""
    return run.timeline().flip_peak >= RISEN


def observe(runs: Iterable[FigureRun], event: str) -> list[Observation]:
    """Return an event's time in each run; none for a run in which the event is absent."""
    found = []
    for run in runs:
        if event in OF_ICL and not has_icl(run):
            continue
        time = event_steps(run)[event]
        steps = run.provenance["step"] if time is None else time
        own = run.learning_rate, run.batch_size, run.init_seed
        found.append(Observation(*own, max(steps, 1.0), time is None))
    return found


def fit_exponents(observations: Sequence[Observation]) -> Exponents | None:
    """Return the exponents; None if too few events determine them."""
    solution = _solve(observations, _with_seeds_and_logs)
    if solution is None:
        return None
    coefficients, spread = solution
    estimate = -coefficients[-2:]
    cells = {each.cell for each in observations}
    others = [
        _solve([each for each in observations if each.cell != cell], _with_seeds_and_logs)
        for cell in cells
    ]
    covariance, dof = np.full((2, 2), np.nan), 0
    if all(others):
        covariance = jackknife(estimate, np.array([-each[0][-2:] for each in others if each]))
        dof = len(cells) - 3
    return Exponents(
        float(estimate[0]),
        float(estimate[1]),
        covariance,
        dof,
        math.exp(spread),
    )


def jackknife(estimate: Array, others: Array) -> Array:
    """Return the covariance (k, k) of an estimate (k,), from those without each cell (n, k)."""
    left = others - estimate
    return (len(others) - 1) / len(others) * left.T @ left


def clock_spread(observations: Sequence[Observation], clock: tuple[float, float]) -> float | None:
    """Return the factor of one standard deviation of an event's time in a clock.

    It is that of runs, about a mean of each seed; None if too few events were seen.
    """

    def on_clock(each: Observation) -> float:
        log_rate, log_batch = each.logs
        return clock[0] * log_rate + clock[1] * log_batch

    solution = _solve(observations, _with_seeds, on_clock)
    return None if solution is None else math.exp(solution[1])


Design = Callable[[Sequence[Observation]], Array]


def _with_seeds(observations: Sequence[Observation]) -> Array:
    """Return a column for each seed."""
    seeds = sorted({each.seed for each in observations})
    return np.array([[float(each.seed == seed) for seed in seeds] for each in observations])


def _with_seeds_and_logs(observations: Sequence[Observation]) -> Array:
    """Return a column for each seed, and those of rate and batch size."""
    return np.column_stack([_with_seeds(observations), [each.logs for each in observations]])


def _solve(
    observations: Sequence[Observation],
    design: Design,
    added: Callable[[Observation], float] = lambda each: 0.0,
) -> tuple[Array, float] | None:
    """Return the coefficients of log time + `added`, and the residual standard deviation.

    None unless the events that were seen determine them.
    """
    seen = [each for each in observations if not each.is_censored]
    if not seen:
        return None
    x, y = design(observations), np.array([math.log(e.steps) + added(e) for e in observations])
    censored = np.array([each.is_censored for each in observations])
    n_columns = x.shape[1]
    if len(seen) <= n_columns or np.linalg.matrix_rank(x[~censored]) < n_columns:
        return None
    return tobit(x, y, censored)


def tobit(x: Array, y: Array, censored: NDArray[np.bool_]) -> tuple[Array, float]:
    """Return the coefficients of a normal linear model of right-censored values, and its s.d.

    Parameters
    ----------
    x : (n, k), of full rank where not censored;  y : (n,) values, or what they exceed
    """
    from scipy.special import log_ndtr

    dof = len(y) - x.shape[1]
    coefficients = np.linalg.lstsq(x[~censored], y[~censored], rcond=None)[0]
    residuals = (y - x @ coefficients)[~censored]
    variance = float(residuals @ residuals) / max(1, int((~censored).sum()) - x.shape[1])
    if not censored.any():
        return coefficients, math.sqrt(variance)
    variance = max(variance, 1e-12)
    for _ in range(5000):
        mean, deviation = x @ coefficients, math.sqrt(variance)
        z = (y - mean)[censored] / deviation
        # the hazard of a normal beyond z: its mean there
        hazard = np.exp(-(z**2) / 2 - log_ndtr(-z)) / math.sqrt(2 * math.pi)
        expected = y.copy()
        expected[censored] = mean[censored] + deviation * hazard
        before = np.append(coefficients, math.log(variance))
        coefficients = np.linalg.lstsq(x, expected, rcond=None)[0]
        residuals = expected - x @ coefficients
        unknown = variance * float(np.sum(1 + z * hazard - hazard**2))
        variance = max((float(residuals @ residuals) + unknown) / dof, 1e-12)
        if np.abs(np.append(coefficients, math.log(variance)) - before).max() < 1e-9:
            break
    return coefficients, math.sqrt(variance)
