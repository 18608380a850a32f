"""The tables of docs/comparison.md, from what `confront` found."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from coopetition.compare.forecast import EVENTS
from coopetition.compare.theory import CURVES
from coopetition.tools.files import markdown_table
from paper_figures.comparison.confront import FOLDER, VERDICTS
from paper_figures.core.kept_data import read_json, read_rows

Row = dict[str, str]

MUCH = 10  # of a difference in BIC

OTHERS, NOTHING = "naive: as in the other runs", "naive: nothing changes"


def number(text: str) -> float:
    """Of a cell; an empty one, an event that is not by the horizon, is infinity."""
    return float(text) if text else math.inf


def fits() -> dict[tuple[str, str], list[Row]]:
    """Rows of each run and metric, the theory of the lowest BIC first."""
    found: dict[tuple[str, str], list[Row]] = {}
    for row in read_rows(FOLDER / "fits.csv", needed="r2_ciwl"):
        found.setdefault((row["run"], row["metric"]), []).append(row)
    return {key: sorted(rows, key=lambda row: float(row["bic"])) for key, rows in found.items()}


def fits_table() -> str:
    """Of every run: the best theory by BIC, and the toy."""
    heads = (
        "run",
        "curves",
        "samples that count",
        "lowest BIC",
        "its R² (train, ICL, CIWL)",
        "toy's R²",
        "its BIC above the lowest",
    )
    lines = []
    for (run, metric), rows in fits().items():
        best, toy = rows[0], next(row for row in rows if row["theory"] == "toy")
        above = float(toy["bic"]) - float(best["bic"])
        count, theory = f"{float(best['n_effective']):.0f}", f"`{best['theory']}`"
        told = (run, metric.replace("_", " "), count, theory, _r2(best), _r2(toy), f"{above:.0f}")
        lines.append(told)
    return markdown_table(heads, lines)


def _r2(row: Row) -> str:
    return ", ".join(f"{float(row[f'r2_{curve}']):.3f}" for curve in CURVES)


def ranks_table() -> str:
    """How often each theory has the lowest BIC, or nearly, and its R2 over all runs."""
    found = fits()
    heads = (
        "theory",
        "lowest BIC",
        f"within {MUCH} of it",
        "median R², and the lowest, of all curves",
        "converged",
    )
    lines = []
    names = dict.fromkeys(row["theory"] for rows in found.values() for row in rows)
    best = [rows[0]["theory"] for rows in found.values()]
    for name in sorted(names, key=lambda name: -best.count(name)):
        own = [row for rows in found.values() for row in rows if row["theory"] == name]
        r2 = [float(row[f"r2_{curve}"]) for row in own for curve in CURVES]
        near = sum(
            float(row["bic"]) < float(rows[0]["bic"]) + MUCH
            for rows in found.values()
            for row in rows
            if row["theory"] == name
        )
        done = sum(row["converged"] == "True" for row in own)
        fitted = f"{np.median(r2):.3f}, {min(r2):.3f}"
        first = f"{best.count(name)} of {len(found)}"
        lines.append((f"`{name}`", first, f"{near}", fitted, f"{done} of {len(own)}"))
    return markdown_table(heads, lines)


@dataclass(frozen=True, slots=True)
class Score:
    """Of a theory's forecasts of one event.

    factor : median of how many times too late or too early, where it happened and was expected
    missed : share of the runs where it happened and was not expected, or the other way round
    covered : share of the runs in which the interval holds what happened; None for naive ones
    """

    n: int
    factor: float
    missed: float
    covered: float | None


def forecasts() -> dict[str, dict[str, list[Row]]]:
    """Rows by theory and event, those of naive forecasts last."""
    found: dict[str, dict[str, list[Row]]] = {}
    for row in read_rows(FOLDER / "forecasts.csv", needed="measured"):
        found.setdefault(row["theory"], {}).setdefault(row["event"], []).append(row)
    measured = next(iter(found.values()))
    found[OTHERS] = {event: _as_others(rows) for event, rows in measured.items()}
    found[NOTHING] = {
        event: [row | {"value": "", "low": "", "high": ""} for row in rows]
        for event, rows in measured.items()
    }
    return found


def _as_others(rows: list[Row]) -> list[Row]:
    """As many times what is known as the median of all other runs (late ones are the longest)."""
    ratios = [number(row["measured"]) / float(row["known_until"]) for row in rows]
    found = []
    for k, row in enumerate(rows):
        ratio = float(np.quantile(np.delete(ratios, k), 0.5, method="lower"))
        value = ratio * float(row["known_until"])
        told = f"{value:.6g}" if value <= float(row["end"]) else ""
        found.append(row | {"value": told, "low": "", "high": ""})
    return found


def score(rows: Iterable[Row]) -> Score:
    """Of forecasts of one event."""
    rows = list(rows)
    true, value, low, high = (
        np.array([number(row[name]) for row in rows])
        for name in ("measured", "value", "low", "high")
    )
    both = np.isfinite(true) & np.isfinite(value) & (true > 0) & (value > 0)
    factor = np.exp(np.median(np.abs(np.log(value[both] / true[both])))) if both.any() else math.nan
    missed = np.mean(np.isfinite(true) != np.isfinite(value))
    covered = float(np.mean((low <= true) & (true <= high)))
    given = any(row["low"] or row["high"] for row in rows)
    return Score(len(rows), float(factor), float(missed), covered if given else None)


def forecasts_table() -> str:
    """Scores of every theory and event, naive forecasts last."""
    heads = ["theory"]
    for event in EVENTS:
        heads += [f"{event}: factor", "missed", "in the interval"]
    lines = []
    for theory, by_event in forecasts().items():
        name = theory if theory.startswith("naive") else f"`{theory}`"
        lines.append([name, *(cell for event in EVENTS for cell in _cells(score(by_event[event])))])
    return markdown_table(heads, lines)


def _cells(found: Score) -> tuple[str, str, str]:
    factor = "-" if math.isnan(found.factor) else f"{found.factor:.2f}"
    covered = "-" if found.covered is None else f"{found.covered:.2f}"
    return factor, f"{found.missed:.2f}", covered


def bet_table() -> str:
    """Claims and what became of them."""
    lines = []
    for each in read_json(VERDICTS):
        if "rank" in each:
            measured, said = f"rank {each['rank']:+.2f}, p {each['chance']:.1g}", "a trend"
        else:
            measured = _text(each["measured"])
            said = f"{_text(each['low'])} to {_text(each['high'])}"
        lines.append((each["claim"], measured, said, _yes(each["holds"])))
    return markdown_table(("claim", "measured", "predicted", "holds"), lines)


def _text(value: float | None) -> str:
    if value is None:
        return "beyond the run"
    return f"{value:,.0f}" if value > 1000 or value == 0 else f"{value:.3f}"


def _yes(holds: bool) -> str:
    return "yes" if holds else "no"
