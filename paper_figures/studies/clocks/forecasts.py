"""Forecasts of a run's late events from its early ones, and from its rate and batch size.

Each run of the grid is forecast from the cells of other rates and batch sizes, once its known part
has ended (`held_out.known_until`), if the event has not happened by then.  The exponents of a time
t ~ rate^-a batch^-b say by which factor it differs between two cells, so another run's time,
corrected by it, is a forecast:

- `AS_OTHERS`: t over the known part is as in the other run;
- `CORRECTED`: this ratio is corrected by its own exponents, those of t less those of the rise;
- `BY_CLOCK`: t itself is corrected by its exponents; what is known of the run is not used;
- `BY_STRENGTHS`: in the other run, t over the known part is so many times 1 + c ln(d_icl / d_ciwl);
  here it is as many times this run's own number;
- `BY_BOTH`: what is left of the ratio by this rule is corrected by its own exponents as well.

The strengths d are those of `readout.strengths`, as means over the evaluations in the last fifth of
the known part, or its last one.  The rule needs d_icl > d_ciwl > 0: if they are equal, Flip is at
one half, and ICL fades now.  A run that has other strengths is not used for others, and is itself
forecast without strengths.  The number c is the median over the other runs in which the event comes
after the known part.  The rule says nothing of peaks.

Exponents and c are fitted without the cell that is forecast.
"""

import math
from collections.abc import Sequence
from dataclasses import fields, replace
from itertools import compress

import numpy as np
from numpy.typing import NDArray

from coopetition.dynamics.events import FORECAST_EVENTS
from coopetition.tools.files import markdown_table
from paper_figures.core.runs import FigureRun
from paper_figures.studies.clocks.exponents import Observation, batch_of, fit_exponents
from paper_figures.studies.clocks.predictions import Find, find_runs
from paper_figures.studies.clocks.readout import STRATEGIES, evaluated_sequences, strengths
from paper_figures.studies.comparison.compare_theories import all_runs
from paper_figures.studies.comparison.kept_forecasts import (
    LIKE_OTHERS,
    EventForecasts,
    naive_forecasts,
    naive_ratios,
    score,
)
from paper_figures.studies.held_out import known_until, measured_events

Array = NDArray[np.float64]

AS_OTHERS = "as in the other runs"
CORRECTED = "corrected for rate and batch"
BY_CLOCK = "by the clock alone"
BY_STRENGTHS = "by strengths"
BY_BOTH = "by strengths, rate and batch"
KINDS = (AS_OTHERS, CORRECTED, BY_CLOCK, BY_STRENGTHS, BY_BOTH)
WITHOUT_STRENGTHS = {BY_STRENGTHS: AS_OTHERS, BY_BOTH: CORRECTED}
LAST = 0.2  # share of the known part in which strengths are measured


def held_out_events(runs: Sequence[FigureRun], event: str) -> EventForecasts:
    """Return an event of runs that have a known part; nothing is forecast yet."""
    times = [measured_events(run)[event] for run in runs]
    empty = np.full(len(runs), np.nan)
    return EventForecasts(
        runs=tuple(run.name for run in runs),
        known_until=np.array([known_until(run) for run in runs], float),
        end=np.array([run.n_sequences for run in runs], float),
        measured=np.array([math.inf if time is None else time for time in times]),
        value=empty,
        low=empty,
        high=empty,
        crps=empty,
    )


def observations(
    runs: Sequence[FigureRun], given: EventForecasts, unit: Array
) -> list[Observation]:
    """Return times of an event in a unit of each run, for a fit of exponents."""
    times, censored = np.minimum(given.measured, given.end) / unit, given.measured > given.end
    return [
        Observation(run.learning_rate, batch_of(run), run.init_seed, float(time), bool(is_censored))
        for run, time, is_censored in zip(runs, times, censored, strict=True)
    ]


def log_strengths(runs: Sequence[FigureRun], given: EventForecasts) -> Array:
    """Return ln(d_icl / d_ciwl) of each run; NaN unless d_icl > d_ciwl > 0."""
    found = []
    for run, known in zip(runs, given.known_until, strict=True):
        part = run.curves().between(last=known)
        late = part.between(min((1 - LAST) * known, part.sequences[-1])).values
        own = strengths(late["train"], late["flip"], evaluated_sequences(run))
        icl, ciwl = (float(np.mean(own[name])) for name in STRATEGIES)
        found.append(math.log(icl / ciwl) if icl > ciwl > 0 else math.nan)
    return np.array(found)


def expected_ratios(given: EventForecasts, logs: Array, groups: Sequence[object]) -> Array:
    """Return t / t_known by the rule of strengths (n, n).

    Row k has all runs, with c fitted without the group of run k.  NaN where `logs` are.
    """
    slopes = (given.measured / given.known_until - 1) / logs
    is_seen = np.isfinite(slopes) & (slopes > 0)
    c = []
    for group in groups:
        own = slopes[is_seen & np.array([each != group for each in groups])]
        c.append(np.median(own) if len(own) else math.nan)
    return 1 + np.outer(c, logs)


def forecast_cells(
    runs: Sequence[FigureRun], given: EventForecasts, kind: str
) -> EventForecasts | None:
    """Return forecasts of an event in each run by the runs of other cells.

    None if without some cell too few events are left for exponents.
    """
    ratios = _ratios_of_cells(runs, given, kind)
    if ratios is not None and kind in WITHOUT_STRENGTHS:
        without = _ratios_of_cells(runs, given, WITHOUT_STRENGTHS[kind])
        ratios = without if without is None else _filled(ratios, without)
    return None if ratios is None else _forecast_future(given, ratios)


def _filled(ratios: Array, others: Array) -> Array:
    """Return ratios with those rows replaced that have no number."""
    return np.where(np.isnan(ratios).all(axis=1, keepdims=True), others, ratios)


def _ratios_of_cells(runs: Sequence[FigureRun], given: EventForecasts, kind: str) -> Array | None:
    """Return t / t_known of each run (row) by each run of another cell; NaN: not used."""
    batches = np.array([batch_of(run) for run in runs], float)
    cells = [(run.learning_rate, batch_of(run)) for run in runs]
    units = np.tile(batches if kind == BY_CLOCK else given.known_until, (len(runs), 1))
    if kind in WITHOUT_STRENGTHS:
        units *= expected_ratios(given, log_strengths(runs, given), cells)
    ratios = np.full_like(units, np.nan)
    for cell in set(cells):
        own = np.array([each == cell for each in cells])
        unit, exponents = units[own][0], (0.0, 0.0)
        observed = observations(runs, given, unit)
        if kind not in (AS_OTHERS, BY_STRENGTHS):
            known = [o for o in observed if o.cell != cell and math.isfinite(o.steps)]
            found = fit_exponents(known)
            if found is None:
                return None
            exponents = found.a, found.b
        logs = np.array([each.logs for each in observed])
        factors = _factors(logs[own], logs[~own], exponents)
        times = (given.measured / unit)[~own] * factors * unit[own, None]
        ratios[np.ix_(own, ~own)] = times / given.known_until[own, None]
    return ratios


def _forecast_future(given: EventForecasts, ratios: Array) -> EventForecasts:
    """Return the forecasts of `naive_forecasts` for events that are not in the known part.

    Nor are forecast times.
    """
    is_future = given.measured > given.known_until
    names = [each.name for each in fields(given) if each.name != "runs"]
    own = replace(
        given,
        runs=tuple(compress(given.runs, is_future)),
        **{name: getattr(given, name)[is_future] for name in names},
    )
    return naive_forecasts(own, np.where(ratios > 1, ratios, np.nan)[is_future])


def _factors(logs: Array, others: Array, exponents: tuple[float, float]) -> Array:
    """Return by what times differ from those of other runs (n, n_others); logs are (n, 2)."""
    return np.exp(-(logs[:, None] - others) @ np.array(exponents))


def forecast_other_runs(
    grid: Sequence[FigureRun], runs: Sequence[FigureRun], event: str, kind: str
) -> EventForecasts | None:
    """Return forecasts of an event in runs that are not of the grid, each by all others of `runs`.

    kind : `AS_OTHERS`, `BY_STRENGTHS`, or `CORRECTED`, by the exponents of the whole grid
    """
    given = held_out_events(runs, event)
    ratios = naive_ratios(given, LIKE_OTHERS)
    if kind == BY_STRENGTHS:
        expected = expected_ratios(given, log_strengths(runs, given), range(len(runs)))
        ratios = _filled(ratios * np.diag(expected)[:, None] / expected, ratios)
    if kind == CORRECTED:
        known = held_out_events(grid, event)
        found = fit_exponents(observations(grid, known, known.known_until))
        if found is None:
            return None
        logs = np.array([each.logs for each in observations(runs, given, given.known_until)])
        ratios = ratios * _factors(logs, logs, (found.a, found.b))
    return _forecast_future(given, ratios)


def runs_with_known_part(runs: Sequence[FigureRun]) -> list[FigureRun]:
    """Return the runs in which ICL becomes preferred early enough for a forecast."""
    return [run for run in runs if known_until(run) is not None]


def forecasts_table(find: Find = find_runs) -> str:
    """Return the scores of forecasts within the grid and of the compared runs, in Markdown."""
    grid, others = runs_with_known_part(find("grid_*")), runs_with_known_part(all_runs())
    rows = []
    for event in FORECAST_EVENTS:
        known = held_out_events(grid, event)
        within = {kind: forecast_cells(grid, known, kind) for kind in _kinds(event, KINDS)}
        across = {
            kind: forecast_other_runs(grid, others, event, kind)
            for kind in _kinds(event, (AS_OTHERS, CORRECTED, BY_STRENGTHS))
        }
        rows += [
            (event, place, kind, *_cells(found))
            for place, own in (("grid", within), ("comparison", across))
            for kind, found in own.items()
        ]
    heads = ("n", "CRPS", "error factor", "missed", "coverage", "width")
    return markdown_table(("event", "runs", "forecast", *heads), rows)


def _kinds(event: str, kinds: Sequence[str]) -> list[str]:
    """Return the kinds of forecasts that there are of an event."""
    return [each for each in kinds if event != "peak" or each not in WITHOUT_STRENGTHS]


def _cells(found: EventForecasts | None) -> list[str]:
    if found is None:
        return ["-"] * 6
    own = score([found])
    return [
        f"{own.n}",
        f"{own.crps:.2f}",
        f"{own.factor:.2f}",
        f"{100 * own.missed:.0f} %",
        f"{100 * own.coverage:.0f} %",
        f"{own.width:.1f}",
    ]
