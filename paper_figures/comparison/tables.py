"""The tables of docs/comparison.md, from what `confront` found."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from coopetition.compare.forecast import EVENTS
from coopetition.compare.theory import CURVES
from paper_figures.comparison.confront import FOLDER, VERDICTS
from paper_figures.kept import read_json, read_rows

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
    lines = [
        "| run | curves | samples that count | lowest BIC | its R² (train, ICL, CIWL) | toy's R² "
        "| its BIC above the lowest |",
        "|---|---|---|---|---|---|---|",
    ]
    for (run, metric), rows in fits().items():
        best, toy = rows[0], next(row for row in rows if row["theory"] == "toy")
        above = float(toy["bic"]) - float(best["bic"])
        lines.append(
            f"| {run} | {metric.replace('_', ' ')} | {float(best['n_effective']):.0f} "
            f"| `{best['theory']}` | {_r2(best)} | {_r2(toy)} | {above:.0f} |"
        )
    return "\n".join(lines)


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
    )
    lines = [f"| {' | '.join(heads)} | converged |", "|---" * (len(heads) + 1) + "|"]
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
        lines.append(
            f"| `{name}` | {best.count(name)} of {len(found)} | {near} "
            f"| {np.median(r2):.3f}, {min(r2):.3f} "
            f"| {done} of {len(own)} |"
        )
    return "\n".join(lines)


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
    head = "".join(f" {event}: factor | missed | in the interval |" for event in EVENTS)
    lines = [f"| theory |{head}", "|---" * (1 + 3 * len(EVENTS)) + "|"]
    for theory, by_event in forecasts().items():
        cells = [_cells(score(by_event[event])) for event in EVENTS]
        name = theory if theory.startswith("naive") else f"`{theory}`"
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cells(found: Score) -> str:
    factor = "-" if math.isnan(found.factor) else f"{found.factor:.2f}"
    covered = "-" if found.covered is None else f"{found.covered:.2f}"
    return f"{factor} | {found.missed:.2f} | {covered}"


def bet_table() -> str:
    """Claims and what became of them."""
    lines = ["| claim | measured | predicted | holds |", "|---|---|---|---|"]
    for each in read_json(VERDICTS):
        if "rank" in each:
            measured, said = f"rank {each['rank']:+.2f}, p {each['chance']:.1g}", "a trend"
        else:
            measured = _text(each["measured"])
            said = f"{_text(each['low'])} to {_text(each['high'])}"
        lines.append(f"| {each['claim']} | {measured} | {said} | {_yes(each['holds'])} |")
    return "\n".join(lines)


def _text(value: float | None) -> str:
    if value is None:
        return "beyond the run"
    return f"{value:,.0f}" if value > 1000 or value == 0 else f"{value:.3f}"


def _yes(holds: bool) -> str:
    return "yes" if holds else "no"
