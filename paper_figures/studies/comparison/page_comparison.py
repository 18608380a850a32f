"""The tables of docs/comparison.md, from what `compare_theories` wrote."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from textwrap import fill

import numpy as np

from coopetition.dynamics.events import FORECAST_EVENTS
from coopetition.fitting.curves import FITTED_CURVES
from coopetition.fitting.random_effects import random_effects, summed_by_group
from coopetition.tools.files import markdown_table
from paper_figures.core.kept_data import DATA, read_json, read_rows
from paper_figures.studies.comparison.kept_forecasts import (
    FOLDER,
    NAIVE,
    TASKS,
    EventForecasts,
    Row,
    crps_difference,
    forecasts,
    score,
    task_of,
)

VERDICTS = DATA / "within_class" / "verdicts.json"
PUBLISHED = "published figure 5b"
TOY_GROUPS = (
    "the paper's own losses",
    *(
        f"{own}, {task}"
        for task in ("main task at the paper's learning rate", *TASKS.values())
        for own in ("losses", "accuracies")
    ),
)


def name_text(theory: str) -> str:
    """Return the name of a theory or a naive forecast in Markdown."""
    return theory if theory in NAIVE else f"`{theory}`"


def fits() -> dict[tuple[str, str], list[Row]]:
    """Return the rows of each run and metric, the highest evidence first.

    Sets of curves to which some theory is not fitted yet are left out.
    """
    by_problem: dict[tuple[str, str], list[Row]] = {}
    for row in read_rows(FOLDER / "fits.csv", needed="log_evidence"):
        by_problem.setdefault((row["run"], row["metric"]), []).append(row)
    n_theories = max(map(len, by_problem.values()))
    return {
        key: sorted(rows, key=lambda row: -_evidence(row))
        for key, rows in by_problem.items()
        if len(rows) == n_theories
    }


def _evidence(row: Row) -> float:
    return float(row["log_evidence"])


def _row_of(rows: Iterable[Row], theory: str) -> Row:
    return next(row for row in rows if row["theory"] == theory)


def fits_table() -> str:
    """Return the theory of highest evidence and the toy, per run, in Markdown."""
    heads = (
        "run",
        "metric",
        "theory of highest evidence",
        "R² of that theory (train, ICL, CIWL)",
        "R² of the toy (train, ICL, CIWL)",
        "log evidence of the toy below the highest",
    )
    lines = []
    for (run, metric), rows in fits().items():
        best, toy = rows[0], _row_of(rows, "toy")
        below = _evidence(best) - _evidence(toy)
        texts = (metric.replace("_", " "), f"`{best['theory']}`", _r2_text(best), _r2_text(toy))
        lines.append((run, *texts, f"{below:.1f}"))
    return markdown_table(heads, lines)


def _r2(row: Row) -> list[float]:
    return [float(row[f"r2_{curve}"]) for curve in FITTED_CURVES]


def _r2_text(row: Row) -> str:
    return ", ".join(f"{r2:.3f}" for r2 in _r2(row))


def evidence_tables() -> str:
    """Return the comparison of theories over all runs, for each metric, in Markdown."""
    metrics = dict.fromkeys(metric for _, metric in fits())
    return "\n\n".join(_evidence_table(metric) for metric in metrics)


def _evidence_table(metric: str) -> str:
    problems = {run: rows for (run, own), rows in fits().items() if own == metric}
    names = sorted({row["theory"] for rows in problems.values() for row in rows})
    by_theory = {name: [_row_of(rows, name) for rows in problems.values()] for name in names}
    evidence = np.array([[*map(_evidence, rows)] for rows in by_theory.values()]).T
    effects = random_effects(evidence)
    tasks = [*map(task_of, problems)]
    above = summed_by_group(evidence, tasks, names.index("toy"))
    curves = "losses" if metric == "loss" else "in-context accuracies"
    sizes = ", ".join(f"{task}: {tasks.count(task)}" for task in above)
    caption = (
        f"**{curves.capitalize()}** of {len(problems)} sets ({sizes}). *Frequency*: the expected "
        "share of runs that a theory describes best. *Probability*: that it is the most frequent "
        "theory (protected exceedance probability); with probability "
        f"{effects.omnibus_risk:.2g} all theories are equally frequent. Then, for each task, the "
        "log evidence minus the toy's, summed over its runs. The median and the lowest R² are over "
        "all curves. *Converged*: the number of posteriors that converged."
    )
    heads = ("theory", "frequency", "probability", *above, "median R²", "lowest R²", "converged")
    lines = []
    for k in np.argsort(-effects.frequencies):
        rows = by_theory[names[k]]
        r2 = [value for row in rows for value in _r2(row)]
        lines.append(
            (
                f"`{names[k]}`",
                f"{effects.frequencies[k]:.2f}",
                f"{effects.protected_exceedance[k]:.2f}",
                *(f"{total[k]:+.0f}" for total in above.values()),
                f"{np.median(r2):.3f}",
                f"{min(r2):.3f}",
                f"{sum(row['converged'] == 'True' for row in rows)}",
            )
        )
    first = int(effects.frequencies.argmax())
    result = (
        f"`{names[first]}` is the most frequent theory of the {curves} with a probability of "
        f"{effects.protected_exceedance[first]:.2f}; the toy is with "
        f"{effects.protected_exceedance[names.index('toy')]:.2f}."
    )
    return "\n\n".join([fill(caption, 120), markdown_table(heads, lines), fill(result, 120)])


def toy_table() -> str:
    """Return the range of the toy's R2 in groups of runs, in Markdown."""
    found = {key: _row_of(rows, "toy") for key, rows in fits().items()}
    groups = {name: [] for name in TOY_GROUPS}
    for (run, metric), row in found.items():
        groups[_toy_group(run, metric)].append(row)
    lines = []
    for name, rows in groups.items():
        r2 = [[float(row[f"r2_{curve}"]) for row in rows] for curve in FITTED_CURVES]
        if rows:
            cells = (f"{min(each):.3f} to {max(each):.3f}" for each in r2)
            lines.append((name, str(len(rows)), *cells))
    heads = ("curves", "fits", *(f"R² of {curve}" for curve in ("train", "ICL", "CIWL")))
    return markdown_table(heads, lines)


def _toy_group(run: str, metric: str) -> str:
    if run == PUBLISHED:
        return TOY_GROUPS[0]
    own = "losses" if metric == "loss" else "accuracies"
    rate = " at the paper's learning rate" if "(paper)" in run else ""
    return f"{own}, {task_of(run)}{rate}"


def forecasts_tables() -> str:
    """Return scores of every theory, over all events and for each, naive forecasts last."""
    by_theory = forecasts()
    n_runs = len(by_theory["toy"]["peak"].runs)
    caption = (
        f"Each row is a theory, with its forecasts for {n_runs} runs. Scores are of the logarithm "
        "of the time, clipped to the part that is forecast: an event after the end of the run "
        "counts as one at its end. *CRPS*: mean continuous ranked probability score; lower is "
        "better, and 0.1 is an error of about 10 %. *Interval score*, *coverage* and *width* (the "
        "median ratio of the ends) are those of 90 % intervals, and, after the arrow, of intervals "
        "recalibrated on the other tasks. *Error factor*: the median factor by which the forecast "
        "is too late or too early, over runs in which the event happens and is forecast. *Missed*: "
        "the share of runs in which the event happens but is not forecast, or is forecast but does "
        "not happen."
    )
    parts = [fill(caption, 120)]
    groups = {"All events": FORECAST_EVENTS}
    groups |= {event.capitalize(): (event,) for event in FORECAST_EVENTS}
    for name, events in groups.items():
        lines = [
            _score_line(theory, [by_event[event] for event in events])
            for theory, by_event in by_theory.items()
        ]
        heads = ("CRPS", "interval score", "coverage", "width", "error factor", "missed")
        parts += [f"**{name}**", markdown_table(("theory", *heads), lines)]
    results = [fill(f"- {x}", 120, subsequent_indent="  ") for x in _forecast_results(by_theory)]
    return "\n\n".join([*parts, "\n".join(results)])


def _forecast_results(by_theory: Mapping[str, Mapping[str, EventForecasts]]) -> Iterator[str]:
    """Yield sentences: the best theory and naive forecast of each event, and what intervals hold.

    The error of a difference is the standard error of its mean over runs.
    """
    theories = [name for name in by_theory if name not in NAIVE]
    for event in FORECAST_EVENTS:
        crps = {name: by_event[event].crps.mean() for name, by_event in by_theory.items()}
        best, naive = (min(kind, key=lambda n: crps[n]) for kind in (theories, NAIVE))
        difference, error = crps_difference(by_theory[best][event], by_theory[naive][event])
        yield (
            f"**{event.capitalize()}**: of the theories, {name_text(best)} has the lowest CRPS. It "
            f"differs from that of *{naive}*, the best naive forecast, by {difference:+.2f} "
            f"± {error:.2f} (negative: the theory is better)."
        )
    every = {"all theories together": theories, "the toy": ["toy"]}
    for name, chosen in every.items():
        own = [by_theory[theory][event] for theory in chosen for event in FORECAST_EVENTS]
        raw, recalibrated = score(own), score([each.recalibrate() for each in own])
        yield (
            f"The share of {raw.n} times that the intervals of {name} hold is {raw.coverage:.2f}, "
            f"with a median width of a factor {raw.width:.1f}; recalibrated, it is "
            f"{recalibrated.coverage:.2f}, with a factor {recalibrated.width:.1f}."
        )


def _score_line(theory: str, forecasts: Sequence[EventForecasts]) -> tuple[str, ...]:
    raw, recalibrated = score(forecasts), score([each.recalibrate() for each in forecasts])
    factor = "-" if math.isnan(raw.factor) else f"{raw.factor:.2f}"
    return (
        name_text(theory),
        f"{raw.crps:.2f}",
        f"{raw.interval_score:.2f} → {recalibrated.interval_score:.2f}",
        f"{100 * raw.coverage:.0f} → {100 * recalibrated.coverage:.0f} %",
        f"{raw.width:.1f} → {recalibrated.width:.1f}",
        factor,
        f"{100 * raw.missed:.0f} %",
    )


def prediction_table() -> str:
    """Return the predictions of mu1 and their verdicts, in Markdown."""
    lines = []
    for each in read_json(VERDICTS):
        if "rank" in each:
            measured = f"rank correlation {each['rank']:+.2f} (p = {each['chance']:.1g})"
            predicted = "this trend (p < 0.05)"
        else:
            measured, low, high = (_number_text(each[name]) for name in ("measured", "low", "high"))
            predicted = f"{low} to {high}"
        claim = each["claim"].replace("peak_to_crossing", "sequences from peak to crossing")
        lines.append((claim, measured, predicted, "yes" if each["holds"] else "no"))
    return markdown_table(("prediction", "measured", "predicted", "holds"), lines)


def _number_text(value: float | None) -> str:
    if value is None:
        return "beyond the run"
    return f"{value:,.0f}" if value > 1000 or value == 0 else f"{value:.3f}"
