"""How runs of the transience paper's settings decide its claims.

Every claim is judged by the events of `transformer.measures.transience` (onset, peak, half-decay,
with their smoothing and errors), of the ICL evaluator over the two labels in context.  The
*control* is the default run of the same figure, with the same seeds.

- **Transient**: ICL fell to half its peak (above chance) before the run ended.  A run in which ICL
  never rose is not transient.
- **Kept**: ICL rose and did not fall to half, in a run at least `LONG` times as long as the
  control's half-decay, the median over its seeds.  A shorter run is inconclusive.
- **Trend**: a quantity rises (or falls) with a setting if Page's trend test over seeds (blocks) and
  levels says so at `LEVEL`, one-sided; with two levels, a paired t-test.  If the test finds the
  opposite trend, the claim is contradicted; if it finds neither, undecided.
- **No trend**: the means of all levels lie within a tolerance that each claim states.  A
  significant trend beyond the tolerance contradicts it.

Page, E. B. (1963), Ordered hypotheses for multiple treatments, J. Am. Stat. Assoc. 58, 216-230.
"""

import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from paper_figures.core.claims import Reading, Value
from paper_figures.core.runs import METRIC, FigureRun
from transformer.measures.transience import CHANCE, Transience, transience

LONG = 3.0
LEVEL = 0.05
Levels = Mapping[float, Sequence[FigureRun]]
"""Runs by the value of a setting, in rising order."""


def icl_events(run: FigureRun, metric: str = METRIC) -> Transience:
    """Return onset, peak and half-decay of ICL; times in sequences."""
    curves = run.curves(metric)
    n_sequences = run.provenance["config"]["evaluation"]["n_sequences"]
    return transience(curves.sequences, curves.values["icl"], n_sequences, CHANCE[metric])


def peak(run: FigureRun) -> float:
    """Return the height of ICL's peak."""
    return icl_events(run).peak


def half_decay(controls: Sequence[FigureRun], metric: str = METRIC) -> float:
    """Return the median half-decay of the controls; infinite if most have none."""
    return _median(icl_events(run, metric).half_decay for run in controls)


def _median(times: Iterable[float | None]) -> float:
    """Return the median, where None is infinite; infinite without any."""
    known = [math.inf if time is None else time for time in times]
    return statistics.median(known) if known else math.inf


def all_runs(*levels: Sequence[FigureRun]) -> list[FigureRun]:
    """Return the runs of all levels of a setting; none while a level lacks runs."""
    return [run for runs in levels for run in runs] if all(levels) else []


def transient(
    runs: Sequence[FigureRun], controls: Sequence[FigureRun], metric: str = METRIC
) -> list[Reading]:
    """Return whether ICL rises and fades, in each run; the number is its half-decay.

    A run without a half-decay is conclusive if it is `LONG` times as long as the control's.
    """
    limit = LONG * half_decay(controls, metric)
    readings = []
    for run in runs:
        events = icl_events(run, metric)
        fades = events.status == "decayed"
        holds = True if fades else False if events.horizon >= limit else None
        readings.append(Reading.of(run, holds, events.half_decay))
    return readings


def kept(runs: Sequence[FigureRun], controls: Sequence[FigureRun]) -> list[Reading]:
    """Return whether ICL rises and does not fade, in each run; the number is its last height."""
    limit = LONG * half_decay(controls)
    readings = []
    for run in runs:
        events = icl_events(run)
        is_long = events.horizon >= limit
        holds = {"decayed": False, "never rose": False if is_long else None}.get(
            events.status, True if is_long else None
        )
        readings.append(Reading.of(run, holds, events.final))
    return readings


def retention(controls: Sequence[FigureRun]) -> Value:
    """Return the quantity that decay is compared by: the share of ICL's height that is left.

    Heights are above chance.  The share is that after the control's time from peak to half-decay,
    the median over seeds; None for a run that ends before, or in which ICL never rose.
    """
    spans = (
        None if each.half_decay is None or each.peak_at is None else each.half_decay - each.peak_at
        for each in map(icl_events, controls)
    )
    span = _median(spans)

    def share(run: FigureRun) -> float | None:
        own, curves = icl_events(run), run.curves()
        if own.peak_at is None or own.peak_at + span > curves.sequences[-1]:
            return None
        then = float(np.interp(own.peak_at + span, curves.sequences, curves.values["icl"]))
        return (then - CHANCE[METRIC]) / (own.peak - CHANCE[METRIC])

    return share


def last(evaluator: str, metric: str) -> Callable[[FigureRun], float]:
    """Return the quantity that is a curve's mean over the last tenth of a run."""

    def value(run: FigureRun) -> float:
        curves = run.curves(metric)
        late = curves.sequences >= 0.9 * curves.sequences[-1]
        return float(np.mean(curves.values[evaluator][late]))

    return value


def _table(levels: Levels, quantity: Value) -> np.ndarray:
    """Return the quantity by seed and level, of seeds for which it is known at every level."""
    values = {at: {run.seeds: quantity(run) for run in runs} for at, runs in sorted(levels.items())}
    seeds = sorted(set.intersection(*(set(own) for own in values.values())))
    rows = [[own[seed] for own in values.values()] for seed in seeds]
    return np.array([row for row in rows if None not in row], float).reshape(-1, len(values))


def p_of_trend(table: np.ndarray, *, rises: bool) -> float:
    """Return the one-sided p-value of a trend over the columns, with rows as blocks.

    Page's test, exact; for two columns, a paired t-test.
    """
    from scipy.stats import page_trend_test, ttest_rel

    ordered = table if rises else table[:, ::-1]
    if ordered.shape[1] > 2:
        return float(page_trend_test(ordered, method="exact").pvalue)
    return float(ttest_rel(ordered[:, 1], ordered[:, 0], alternative="greater").pvalue)


def trend(levels: Levels, quantity: Value, *, rises: bool = True) -> list[Reading]:
    """Return one reading: whether a quantity rises, or falls, with a setting.

    It is None where the test finds no trend.  Without runs at every level there is no reading.  The
    number is the change from the lowest to the highest level.
    """

    def decide(table: np.ndarray) -> tuple[bool | None, float]:
        expected, opposite = (p_of_trend(table, rises=each) for each in (rises, not rises))
        holds = True if expected < LEVEL else False if opposite < LEVEL else None
        return holds, float(table[:, -1].mean() - table[:, 0].mean())

    return _reading_of(levels, quantity, decide)


def no_trend(levels: Levels, quantity: Value, tolerance: float) -> list[Reading]:
    """Return one reading: whether the means of all levels lie within a tolerance.

    It is None if they do not, but no trend is significant.  The number is the range of the means.
    """

    def decide(table: np.ndarray) -> tuple[bool | None, float]:
        spread = float(np.ptp(table.mean(axis=0)))
        is_trend = min(p_of_trend(table, rises=each) for each in (True, False)) < LEVEL
        return True if spread <= tolerance else False if is_trend else None, spread

    return _reading_of(levels, quantity, decide)


def _reading_of(
    levels: Levels,
    quantity: Value,
    decide: Callable[[np.ndarray], tuple[bool | None, float]],
) -> list[Reading]:
    """Return the reading of all runs; inconclusive with fewer than two seeds at all levels."""
    runs = all_runs(*levels.values())
    if not runs:
        return []
    table = _table(levels, quantity)
    holds, value = decide(table) if len(table) > 1 else (None, None)
    n_seed_pairs = len({run.seeds for run in runs})
    return [Reading(runs[0].name, holds, value, n_runs=len(runs), n_seed_pairs=n_seed_pairs)]
