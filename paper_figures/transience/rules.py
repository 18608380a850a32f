"""How runs of the transience paper's settings decide its claims.

Every claim is judged by the events of `transformer.measures.transience` (onset, peak, half-decay,
with their smoothing and errors), of the ICL evaluator over the two labels in context.  The
*control* is the default run of the same figure, with the same seeds.

- **Faded**: ICL fell to half its peak (above chance), and is below that at the end of the run.
- **Transient**: ICL faded.  A run in which ICL stays contradicts this if it is at least `LONG`
  times as long as the control's half-decay, and a run in which ICL never rose if it is at least
  `LONG` times as long as the control's onset.  Shorter runs are inconclusive.
- **Kept**: ICL stays, in a run of this length.  Fading contradicts it, and so does never rising.
- A claim about all levels of a setting has a reading for each level: that of most of its seeds.
- **Trend**: a quantity rises (or falls) with a setting if Page's trend test over seeds (blocks) and
  levels says so at `LEVEL`, one-sided; with two levels, a paired t-test.  The opposite trend
  contradicts the claim.
- **No trend**: the means of all levels lie within a tolerance that each claim states.  A
  significant trend (`LEVEL`, two-sided) beyond the tolerance contradicts it.
- **No rise**: no level's mean exceeds that of the lowest level by more than a tolerance.  A
  significant rise (`LEVEL`, one-sided) beyond it contradicts it.

Page, E. B. (1963), Ordered hypotheses for multiple treatments, J. Am. Stat. Assoc. 58, 216-230.
"""

import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from paper_figures.core.claims import Judgement, Reading, Value, Verdict
from paper_figures.core.runs import METRIC, FigureRun
from transformer.experiments.presets import PRESETS
from transformer.measures.transience import CHANCE, WINDOW, Fate, Transience, smooth, transience

LONG = 3.0
LEVEL = 0.05
Levels = Mapping[float, Sequence[FigureRun]]
"""Runs by the value of a setting, in rising order."""


def icl_events(run: FigureRun, metric: str = METRIC) -> Transience:
    """Return onset, peak and half-decay of ICL; times in sequences."""
    curves = run.curves(metric)
    return transience(curves.sequences, curves.values["icl"], run.n_evaluated, CHANCE[metric])


@dataclass(frozen=True, slots=True)
class RequiredLength:
    """How long a run must be, in sequences, before the lack of an event counts.

    rise : for a run in which ICL never rose
    fade : for a run in which ICL stays
    """

    rise: float
    fade: float

    @classmethod
    def of(cls, controls: Sequence[FigureRun]) -> Self:
        """Return `LONG` times the median onset and half-decay; infinite if most lack it."""
        events = [icl_events(run) for run in controls]
        return cls(
            LONG * _median(each.onset for each in events),
            LONG * _median(each.half_decay for each in events),
        )

    @classmethod
    def planned(cls, runs: Sequence[FigureRun]) -> Self:
        """Return the planned length of the default run at their scale, for want of a control."""
        if not runs:
            return cls(math.inf, math.inf)
        config = PRESETS["transience/default"].at(runs[0].provenance["scale"]).config
        length = float(config.n_steps * config.data.batch_size)
        return cls(length, length)


def _median(times: Iterable[float | None]) -> float:
    """Return the median, where None is infinite; infinite without any."""
    known = [math.inf if time is None else time for time in times]
    return statistics.median(known) if known else math.inf


def all_runs(*levels: Sequence[FigureRun]) -> list[FigureRun]:
    """Return the runs of all levels of a setting; none while a level lacks runs."""
    return [run for runs in levels for run in runs] if all(levels) else []


def judge_transient(
    runs: Sequence[FigureRun],
    controls: Sequence[FigureRun] | None = None,
    metric: str = METRIC,
) -> list[Reading]:
    """Return whether ICL rises and fades, in each run; the number is its half-decay.

    Without controls, the planned length of the default run decides.
    """
    required = RequiredLength.planned(runs) if controls is None else RequiredLength.of(controls)
    return _judge_fate("faded", runs, required, metric)


def judge_kept(runs: Sequence[FigureRun], controls: Sequence[FigureRun]) -> list[Reading]:
    """Return whether ICL rises and does not fade, in each run; the number is its last height."""
    return _judge_fate("stays", runs, RequiredLength.of(controls))


def judge_transient_at_every(
    levels: Iterable[Sequence[FigureRun]], controls: Sequence[FigureRun]
) -> list[Reading]:
    """Return whether ICL rises and fades in most seeds, for each level; none while one lacks runs.

    A level is inconclusive if its inconclusive runs decide.  The number is the share of runs that
    hold.
    """
    levels, required = [*levels], RequiredLength.of(controls)
    if not all(levels):
        return []
    found = []
    for runs in levels:
        own = Judgement(tuple(_judge_fate("faded", runs, required)))
        holds = {Verdict.REPRODUCED: True, Verdict.CONTRADICTED: False}.get(own.verdict)
        found.append(Reading.of_several(runs, holds, own.n_held / len(runs)))
    return found


def _judge_fate(
    expected: Fate, runs: Sequence[FigureRun], required: RequiredLength, metric: str = METRIC
) -> list[Reading]:
    """Return whether ICL's fate is as expected, in each run; None if it is too short to tell.

    The number is the half-decay where ICL is expected to fade, else the last height.
    """
    readings = []
    for run in runs:
        events = icl_events(run, metric)
        needed = {"faded": 0.0, "stays": required.fade, "never rose": required.rise}[events.fate]
        holds = events.fate == expected if events.horizon >= needed else None
        value = events.half_decay if expected == "faded" else events.final
        readings.append(Reading.of(run, holds, value))
    return readings


def peak(run: FigureRun) -> float | None:
    """Return the height of ICL's peak; None if the run ends within one error of it."""
    events = icl_events(run)
    return None if events.fate != "never rose" and events.peak_to is None else events.peak


def log_onset(run: FigureRun) -> float | None:
    """Return the logarithm of ICL's onset, where half the peak is reached; None if unknown."""
    events = icl_events(run)
    if events.onset is None or events.peak_to is None:
        return None
    return math.log(events.onset)


def retention(controls: Sequence[FigureRun]) -> Value:
    """Return the quantity that decay is compared by: the share of ICL's height that is left.

    Heights are smoothed and above chance.  The share is that after the control's time from peak to
    half-decay, the median over seeds; None for a run that ends before, or in which ICL never rose.
    """
    spans = (
        None if each.half_decay is None or each.peak_at is None else each.half_decay - each.peak_at
        for each in map(icl_events, controls)
    )
    span = _median(spans)

    def share(run: FigureRun) -> float | None:
        own, curves = icl_events(run), run.curves()
        middle = curves.sequences[WINDOW // 2 : len(curves.sequences) - WINDOW // 2]
        if own.peak_at is None or own.peak_at + span > middle[-1]:
            return None
        then = float(np.interp(own.peak_at + span, middle, smooth(curves.values["icl"])))
        return (then - CHANCE[METRIC]) / (own.peak - CHANCE[METRIC])

    return share


def final_mean(evaluator: str, metric: str) -> Callable[[FigureRun], float]:
    """Return the quantity that is a curve's mean over the last tenth of a run."""

    def value(run: FigureRun) -> float:
        curves = run.curves(metric)
        late = curves.sequences >= 0.9 * curves.sequences[-1]
        return float(np.mean(curves.values[evaluator][late]))

    return value


def p_of_trend(table: np.ndarray, *, rises: bool) -> float:
    """Return the one-sided p-value of a trend over the columns, with rows as blocks.

    Page's test, exact; for two columns, a paired t-test.
    """
    from scipy.stats import page_trend_test, ttest_rel

    ordered = table if rises else table[:, ::-1]
    if ordered.shape[1] > 2:
        return float(page_trend_test(ordered, method="exact").pvalue)
    return float(ttest_rel(ordered[:, 1], ordered[:, 0], alternative="greater").pvalue)


def judge_trend(levels: Levels, quantity: Value, *, rises: bool = True) -> list[Reading]:
    """Return one reading: whether a quantity rises, or falls, with a setting.

    It is undecided where the test finds no trend.  Without runs at every level there is no reading.
    The number is the change from the lowest to the highest level.
    """

    def decide(table: np.ndarray) -> tuple[bool | None, float]:
        expected, opposite = (p_of_trend(table, rises=each) for each in (rises, not rises))
        holds = True if expected < LEVEL else False if opposite < LEVEL else None
        return holds, float(table[:, -1].mean() - table[:, 0].mean())

    return _judge_table(levels, quantity, decide)


def judge_no_trend(levels: Levels, quantity: Value, tolerance: float) -> list[Reading]:
    """Return one reading: whether the means of all levels lie within a tolerance.

    It is undecided if they do not, but no trend is significant.  The number is the range of the
    means.
    """

    def decide(table: np.ndarray) -> tuple[bool | None, float]:
        spread = float(np.ptp(table.mean(axis=0)))
        is_trend = min(p_of_trend(table, rises=each) for each in (True, False)) < LEVEL / 2
        return True if spread <= tolerance else False if is_trend else None, spread

    return _judge_table(levels, quantity, decide)


def judge_no_rise(levels: Levels, quantity: Value, tolerance: float) -> list[Reading]:
    """Return one reading: whether no level has a mean that is higher than the lowest level's.

    It may be higher by a tolerance.  Beyond it, a significant rise contradicts the claim.  The
    number is the largest rise of a mean.
    """

    def decide(table: np.ndarray) -> tuple[bool | None, float]:
        means = table.mean(axis=0)
        rise = float((means - means[0]).max())
        is_trend = p_of_trend(table, rises=True) < LEVEL
        return True if rise <= tolerance else False if is_trend else None, rise

    return _judge_table(levels, quantity, decide)


def _judge_table(
    levels: Levels,
    quantity: Value,
    decide: Callable[[np.ndarray], tuple[bool | None, float]],
) -> list[Reading]:
    """Return the reading of the runs of seeds for which the quantity is known at every level.

    With fewer than two such seeds the reading of all runs is inconclusive: they end too early,
    unless ICL never rose in some, or only one seed was trained at every level.
    """
    runs = all_runs(*levels.values())
    if not runs:
        return []
    values = [{run.seeds: quantity(run) for run in own} for _, own in sorted(levels.items())]
    shared = sorted(set.intersection(*map(set, values)))
    seeds = [seed for seed in shared if all(own[seed] is not None for own in values)]
    if len(seeds) > 1:
        holds, value = decide(np.array([[own[seed] for own in values] for seed in seeds], float))
        used = [run for run in runs if run.seeds in seeds]
        return [Reading.of_several(used, holds, value, if_inconclusive=Verdict.UNDECIDED)]
    lacks_icl = any(icl_events(run).fate == "never rose" for run in runs)
    if_inconclusive = Verdict.UNDECIDED if lacks_icl or len(shared) < 2 else Verdict.TOO_SHORT
    return [Reading.of_several(runs, None, if_inconclusive=if_inconclusive)]
