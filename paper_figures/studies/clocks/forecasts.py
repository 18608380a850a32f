"""Forecasts of a run's late events from its early ones, and from its rate and batch size.

Each run of the grid is forecast from the cells of other rates and batch sizes, once its known part
has ended (`held_out.known_until`), if the event has not happened by then.  Let t_k be the event's
time in the run k that is forecast, T_k the length of its known part, and f the factor
(rate_k / rate_j)^-a (batch_k / batch_j)^-b, whose exponents are fitted to all cells but that of k.
Another run j gives the forecast

- `AS_OTHERS`: t_k = T_k (t_j / T_j);
- `CORRECTED`: t_k = T_k (t_j / T_j) f, with the exponents of t / T;
- `BY_CLOCK`: t_k = t_j f, with t in steps and its exponents; nothing of run k is used;
- `BY_STRENGTHS`: t_k = T_k (1 + c_k x_k) (t_j / T_j) / (1 + c_kj x_j), with x = ln(d_icl / d_ciwl);
- `BY_BOTH`: this times f, with the exponents of the miss (t_j / T_j) / (1 + c_kj x_j).

The strengths d are those of `readout.strengths`, as means over the evaluations in the last fifth of
the known part, or its last one.  The rule needs d_icl > d_ciwl > 0: if they are equal, Flip is at
one half, and ICL fades now.  A run that has other strengths is not used for others, and is itself
forecast without strengths.  The rule says nothing of peaks.

The number c_k is the median of (t / T - 1) / x over the runs of other cells than that of k in which
the event comes after the known part; c_kj leaves out the cell of j as well.  So misses are out of
sample, and the intervals include the error of c.  They do not include the error of exponents.

In the comparison, each run is forecast by all others, including other seeds of its own setting, as
in docs/comparison.md; c_k leaves out run k alone, and c_kj runs k and j.  There, f has the
exponents of the whole grid.
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
from paper_figures.studies.clocks.exponents import Observation, fit_exponents
from paper_figures.studies.clocks.predictions import Find, find_runs
from paper_figures.studies.clocks.readout import STRATEGIES, strengths
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
        Observation(
            run.learning_rate, run.batch_size, run.init_seed, float(time), bool(is_censored)
        )
        for run, time, is_censored in zip(runs, times, censored, strict=True)
    ]


def log_strengths(runs: Sequence[FigureRun], given: EventForecasts) -> Array:
    """Return ln(d_icl / d_ciwl) of each run; NaN unless d_icl > d_ciwl > 0."""
    found = []
    for run, known in zip(runs, given.known_until, strict=True):
        part = run.curves().between(last=known)
        late = part.between(min((1 - LAST) * known, part.sequences[-1])).values
        own = strengths(late["train"], late["flip"], run.n_evaluated)
        icl, ciwl = (float(np.mean(own[name])) for name in STRATEGIES)
        found.append(math.log(icl / ciwl) if icl > ciwl > 0 else math.nan)
    return np.array(found)


def expected_ratios(given: EventForecasts, logs: Array, groups: Sequence[object]) -> Array:
    """Return t / t_known by the rule of strengths (n, n).

    Entry (k, j) is that of run j, with c fitted without the groups of runs k and j.  NaN where
    `logs` are.
    """
    slopes = (given.measured / given.known_until - 1) / logs
    is_seen = np.isfinite(slopes) & (slopes > 0)
    is_other = np.array([[each != group for each in groups] for group in groups])
    ratios = np.empty(is_other.shape)
    for k, j in np.ndindex(ratios.shape):
        own = slopes[is_seen & is_other[k] & is_other[j]]
        c = np.median(own) if len(own) else math.nan
        ratios[k, j] = 1 + c * logs[j]
    return ratios


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
    batches = np.array([run.batch_size for run in runs], float)
    cells = [(run.learning_rate, run.batch_size) for run in runs]
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

    Forecast times also lie after the known part.
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

    The others include runs of the same setting with other seeds.

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
