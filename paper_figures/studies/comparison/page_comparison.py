"""The tables of docs/comparison.md, from what `compare_theories` wrote."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from textwrap import fill

import numpy as np

from coopetition.compare.curves import FITTED_CURVES
from coopetition.dynamics.events import FORECAST_EVENTS
from coopetition.tools.files import markdown_table
from paper_figures.core.kept_data import DATA, read_json, read_rows

Row = dict[str, str]

FOLDER = DATA / "comparison"
VERDICTS = DATA / "within_class" / "verdicts.json"
NEAR = 10  # difference in BIC
LIKE_OTHERS, NO_CHANGE = "naive: as in the other runs", "naive: nothing changes"


def read_time(cell: str) -> float:
    """Return the time in a cell; infinity if the event is not by the horizon."""
    return float(cell) if cell else math.inf


def fits() -> dict[tuple[str, str], list[Row]]:
    """Return the rows of each run and metric, sorted by BIC."""
    by_problem: dict[tuple[str, str], list[Row]] = {}
    for row in read_rows(FOLDER / "fits.csv", needed="r2_ciwl"):
        by_problem.setdefault((row["run"], row["metric"]), []).append(row)
    return {key: sorted(rows, key=_bic) for key, rows in by_problem.items()}


def _bic(row: Row) -> float:
    return float(row["bic"])


def fits_table() -> str:
    """Return the best theory by BIC and the toy, per run, in Markdown."""
    heads = (
        "run",
        "metric",
        "effective sample size",
        "theory of lowest BIC",
        "R² of that theory (train, ICL, CIWL)",
        "R² of the toy (train, ICL, CIWL)",
        "BIC of the toy above the lowest",
    )
    lines = []
    for (run, metric), (best, *others) in fits().items():
        toy = next(row for row in (best, *others) if row["theory"] == "toy")
        n, above = float(best["n_effective"]), _bic(toy) - _bic(best)
        lines.append(
            (
                run,
                metric.replace("_", " "),
                f"{n:.0f}",
                f"`{best['theory']}`",
                _r2_text(best),
                _r2_text(toy),
                f"{above:.0f}",
            )
        )
    return markdown_table(heads, lines)


def _r2(row: Row) -> list[float]:
    return [float(row[f"r2_{curve}"]) for curve in FITTED_CURVES]


def _r2_text(row: Row) -> str:
    return ", ".join(f"{r2:.3f}" for r2 in _r2(row))


def ranks_table() -> str:
    """Return how often each theory has the lowest BIC, and its R2 over all runs, in Markdown."""
    problems = fits().values()
    caption = (
        f"Each row is a theory, fitted to {len(problems)} sets of curves. A set has the losses or "
        "the in-context accuracies of one run. The median and the lowest R² are over all curves of "
        "all sets; a curve whose fitted gain is 0 has an R² of 0."
    )
    heads = (
        "theory",
        "fits with the lowest BIC",
        f"fits with a BIC less than {NEAR} above the lowest",
        "median R²",
        "lowest R²",
        "converged fits",
    )
    names = dict.fromkeys(row["theory"] for rows in problems for row in rows)
    best = [rows[0]["theory"] for rows in problems]
    lines = []
    for name in sorted(names, key=lambda name: -best.count(name)):
        pairs = [(row, rows[0]) for rows in problems for row in rows if row["theory"] == name]
        r2 = [value for row, _ in pairs for value in _r2(row)]
        n_near = sum(_bic(row) < _bic(first) + NEAR for row, first in pairs)
        n_converged = sum(row["converged"] == "True" for row, _ in pairs)
        lines.append(
            (
                f"`{name}`",
                f"{best.count(name)}",
                f"{n_near}",
                f"{np.median(r2):.3f}",
                f"{round(min(r2), 3) + 0:.3f}",
                f"{n_converged}",
            )
        )
    return f"{fill(caption, 120)}\n\n{markdown_table(heads, lines)}"


@dataclass(frozen=True, slots=True)
class Score:
    """Quality of a theory's forecasts of one event.

    factor : median of how many times too late or too early, if it was forecast and happened
    missed : share of the runs in which it was forecast or happened, but not both
    covered : share of the runs in which the interval holds what happened; None for naive ones
    """

    n: int
    factor: float
    missed: float
    covered: float | None


def forecasts() -> dict[str, dict[str, list[Row]]]:
    """Return rows by theory and event, those of naive forecasts last."""
    by_theory: dict[str, dict[str, list[Row]]] = {}
    for row in read_rows(FOLDER / "forecasts.csv", needed="measured"):
        by_theory.setdefault(row["theory"], {}).setdefault(row["event"], []).append(row)
    measured = next(iter(by_theory.values()))
    never = {"value": "", "low": "", "high": ""}
    return by_theory | {
        LIKE_OTHERS: {event: forecast_like_others(rows) for event, rows in measured.items()},
        NO_CHANGE: {event: [row | never for row in rows] for event, rows in measured.items()},
    }


def forecast_like_others(rows: list[Row]) -> list[Row]:
    """Forecast the known time multiplied by the median ratio of all other runs."""
    ratios = [read_time(row["measured"]) / float(row["known_until"]) for row in rows]
    forecast = []
    for k, row in enumerate(rows):
        ratio = float(np.quantile(np.delete(ratios, k), 0.5, method="lower"))
        value = ratio * float(row["known_until"])
        text = f"{value:.6g}" if value <= float(row["end"]) else ""
        forecast.append(row | {"value": text, "low": "", "high": ""})
    return forecast


def score(rows: Iterable[Row]) -> Score:
    """Score forecasts of one event."""
    rows = list(rows)
    true, value, low, high = (
        np.array([read_time(row[name]) for row in rows])
        for name in ("measured", "value", "low", "high")
    )
    both = np.isfinite(true) & np.isfinite(value) & (true > 0) & (value > 0)
    factor = np.exp(np.median(np.abs(np.log(value[both] / true[both])))) if both.any() else math.nan
    missed = np.mean(np.isfinite(true) != np.isfinite(value))
    covered = float(np.mean((low <= true) & (true <= high)))
    has_intervals = any(row["low"] or row["high"] for row in rows)
    return Score(len(rows), float(factor), float(missed), covered if has_intervals else None)


def forecasts_table() -> str:
    """Return scores of every theory and event, naive forecasts last, in Markdown."""
    quality = ("error factor", "missed", "coverage")
    heads = ["theory", *(f"{event}: {each}" for event in FORECAST_EVENTS for each in quality)]
    lines = []
    by_theory = forecasts()
    caption = (
        f"Each row is a theory, with its forecasts for {len(by_theory['toy']['peak'])} runs. "
        "*Error factor*: the median factor by which the forecast is too late or too early, over "
        "runs in which the event happens and is forecast. *Missed*: the share of runs in which the "
        "event happens but is not forecast, or is forecast but does not happen. *Coverage*: the "
        "share of runs in which the 90 % interval contains the event's time; if the event does not "
        "happen, its time counts as later than the end of the run."
    )
    for theory, by_event in by_theory.items():
        cells = [theory if theory.startswith("naive") else f"`{theory}`"]
        for each in (score(by_event[event]) for event in FORECAST_EVENTS):
            factor = "-" if math.isnan(each.factor) else f"{each.factor:.2f}"
            covered = "-" if each.covered is None else f"{100 * each.covered:.0f} %"
            cells += [factor, f"{100 * each.missed:.0f} %", covered]
        lines.append(cells)
    return f"{fill(caption, 120)}\n\n{markdown_table(heads, lines)}"


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
