"""Kept forecasts of theories and naive ones, and their scores."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from coopetition.dynamics.events import FORECAST_EVENTS
from coopetition.fitting.result import ENDS
from coopetition.fitting.scores import interval_score, log_clipped, log_time_crps, recalibrate
from paper_figures.core.kept_data import DATA, read_rows

Array = NDArray[np.float64]
Row = dict[str, str]

FOLDER = DATA / "comparison"
TASKS = {"coopetition": "main task", "glyphs": "glyphs", "within_class": "Gaussian classes"}
LIKE_OTHERS = "naive: as in the other runs"
LIKE_OTHER_TASKS = "naive: as in the other tasks"
NO_CHANGE = "naive: nothing changes"
NAIVE = (LIKE_OTHERS, LIKE_OTHER_TASKS, NO_CHANGE)
ROUNDING = 1e-6  # of times in the table, relative


def task_of(run: str) -> str:
    """Return the task of a run, by its name; the published losses are of the main task."""
    return next((task for start, task in TASKS.items() if run.startswith(start)), "main task")


@dataclass(frozen=True, slots=True, eq=False)
class EventForecasts:
    """A theory's forecasts of one event in all runs; a time that is infinite: not by the end.

    known_until, end : of each run
    crps : of clipped log times
    """

    runs: tuple[str, ...]
    known_until: Array
    end: Array
    measured: Array
    value: Array
    low: Array
    high: Array
    crps: Array

    @property
    def tasks(self) -> list[str]:
        """Task of each run."""
        return [task_of(run) for run in self.runs]

    def clip_log_times(self, times: Array) -> Array:
        """Return log times clipped to what is forecast."""
        return log_clipped(times, self.known_until, self.end)

    def recalibrate(self) -> "EventForecasts":
        """Return forecasts with intervals recalibrated on the runs of the other tasks."""
        low, high, measured = map(self.clip_log_times, (self.low, self.high, self.measured))
        low, high = recalibrate(low, high, measured, self.tasks)
        return replace(self, low=np.exp(low), high=np.exp(high))


def forecasts() -> dict[str, dict[str, EventForecasts]]:
    """Return forecasts by theory and event, those of naive ones last.

    Runs that some theory has not forecast yet are left out.
    """
    rows = read_rows(FOLDER / "forecasts.csv", needed="crps")
    theories = dict.fromkeys(row["theory"] for row in rows)
    done = {(row["run"], row["theory"]) for row in rows}
    runs = dict.fromkeys(row["run"] for row in rows)
    complete = {run for run in runs if all((run, theory) in done for theory in theories)}
    rows = [row for row in rows if row["run"] in complete]
    found = {
        theory: {
            event: _event_forecasts(
                [row for row in rows if (row["theory"], row["event"]) == (theory, event)]
            )
            for event in FORECAST_EVENTS
        }
        for theory in theories
    }
    measured = next(iter(found.values()))
    return found | {
        name: {
            event: naive_forecasts(each, naive_ratios(each, name))
            for event, each in measured.items()
        }
        for name in NAIVE
    }


def _event_forecasts(rows: Sequence[Row]) -> EventForecasts:
    columns = ("known_until", "end", "measured", "value", "low", "high", "crps")
    arrays = (np.array([read_time(row[name]) for row in rows]) for name in columns)
    return EventForecasts(tuple(row["run"] for row in rows), *arrays)


def read_time(cell: str) -> float:
    """Return the time in a cell; infinity if the event is not by the horizon."""
    return float(cell) if cell else math.inf


def naive_ratios(given: EventForecasts, kind: str) -> Array:
    """Return what a naive forecast knows: time over known part, of each other run; NaN: not used.

    `LIKE_OTHERS` uses all other runs, `LIKE_OTHER_TASKS` those of other tasks, `NO_CHANGE` none.
    """
    n, tasks = len(given.runs), np.array(given.tasks)
    is_used = {
        LIKE_OTHERS: ~np.eye(n, dtype=bool),
        LIKE_OTHER_TASKS: tasks[:, None] != tasks,
        NO_CHANGE: np.zeros((n, n), bool),
    }[kind]
    return np.where(is_used, given.measured / given.known_until, np.nan)


def naive_forecasts(given: EventForecasts, ratios: Array) -> EventForecasts:
    """Return forecasts of the same events without a theory.

    ratios : (n, n), row k has the forecasts of run k, each from another run, over the length of its
        known part; NaN where a run is not used.  Without any, the event never happens.
    """
    rows = []
    for known, end, measured, own in zip(
        given.known_until, given.end, given.measured, ratios, strict=True
    ):
        own = own[~np.isnan(own)]
        times = known * own if len(own) else np.array([np.inf])
        times = np.where(times <= end, times, np.inf)
        ends = np.quantile(times, (ENDS[0], 0.5, ENDS[1]), method="inverted_cdf")
        rows.append((*ends, log_time_crps(times, measured, known, end)))
    low, value, high, crps = np.array(rows).T
    return replace(given, value=value, low=low, high=high, crps=crps)


def crps_difference(first: EventForecasts, second: EventForecasts) -> tuple[float, float]:
    """Return the mean CRPS of forecasts less that of others, and its standard error over runs."""
    difference = first.crps - second.crps
    return float(difference.mean()), float(difference.std(ddof=1)) / math.sqrt(len(difference))


@dataclass(frozen=True, slots=True)
class Score:
    """Quality of forecasts; scores of log times, so 0.1 is about 10 %.

    crps : mean continuous ranked probability score
    interval_score : mean
    factor : median of how many times too late or too early, if it was forecast and happened
    missed : share of the runs in which it was forecast or happened, but not both
    coverage : share of the runs in which the interval holds what happened
    width : median ratio of the interval's ends
    """

    n: int
    crps: float
    interval_score: float
    factor: float
    missed: float
    coverage: float
    width: float


def score(forecasts: Sequence[EventForecasts]) -> Score:
    """Score forecasts of one event or of several together."""
    low, high, true = (
        np.concatenate([each.clip_log_times(getattr(each, name)) for each in forecasts])
        for name in ("low", "high", "measured")
    )
    measured, value, crps = (
        np.concatenate([getattr(each, name) for each in forecasts])
        for name in ("measured", "value", "crps")
    )
    both = np.isfinite(measured) & np.isfinite(value)
    factor = np.exp(np.median(np.abs(np.log(value[both] / measured[both])))) if both.any() else None
    return Score(
        len(true),
        float(crps.mean()),
        float(interval_score(low, high, true).mean()),
        math.nan if factor is None else float(factor),
        float(np.mean(np.isfinite(measured) != np.isfinite(value))),
        float(np.mean((low <= true + ROUNDING) & (true <= high + ROUNDING))),
        float(np.exp(np.median(high - low))),
    )
