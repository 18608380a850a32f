"""Fits of theories to the four accuracies of kept runs, read out by signal detection.

    python -m paper_figures.studies.clocks.readout_fits [THEORY ...]

writes a row for each run and theory (default: all of `THEORIES`) into the kept table.  Here curves
have no floors and gains of their own, and Flip counts as much as the other curves.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from coopetition.model.two_cues import SIGNS
from coopetition.tools.console import print_progress
from coopetition.tools.files import markdown_table, to_csv, write_text
from paper_figures.core.kept_data import DATA, read_other_rows, read_rows
from paper_figures.core.runs import FigureRun, Runs
from paper_figures.studies.within_class.floors import floors_by_level

PATH = DATA / "comparison" / "readout.csv"
THEORIES = (
    "two_cues",
    "toy",
    "subcircuits",
    "subcircuits_no_decay",
    "bayesian_mixture",
    "logistic_race",
)
VARIED = "classes with variation"
GROUPS: Mapping[str, tuple[Runs, ...]] = {
    "main task at the paper's rate": (Runs("coopetition/main", scale="paper"),),
    "main task": (Runs("coopetition/main"), Runs("coopetition/seeds_*")),
    VARIED: (Runs("within_class/main_*"),),
    "demo": (Runs("demo"),),
    "glyphs": (Runs("glyphs"),),
}

Row = Mapping[str, str]


def fit_runs(theories: Sequence[str], path: Path = PATH) -> None:
    """Fit theories to all runs, and replace their rows in the table."""
    rows: list[Any] = read_other_rows(path, "theory", theories)
    for theory in theories:
        rows += [_fit(run, group, theory) for group, run in _runs()]
    write_text(path, to_csv(rows))


def _runs() -> Iterator[tuple[str, FigureRun]]:
    """Yield each run once, with its first group."""
    seen: set[str] = set()
    for group, needs in GROUPS.items():
        for run in (run for need in needs for run in need.find()):
            if run.provenance["run_id"] not in seen:
                seen.add(run.provenance["run_id"])
                yield group, run


def _fit(run: FigureRun, group: str, theory: str) -> dict[str, Any]:
    from coopetition.fitting.estimate import fit  # sympy is slow to import

    print_progress(f"{theory}: {run.name}")
    found = fit(run.curves(), f"{theory}_readout")
    numbers = {f"r2_{name}": found.curves[name].r2 for name in SIGNS}
    numbers["rmse"] = float(np.mean([each.rmse**2 for each in found.curves.values()])) ** 0.5
    own = {name: each.value for name, each in found.parameters.items()}
    numbers |= {name: own.get(name, np.nan) for name in ("sigma", "nu")}
    row = {"run": run.name, "group": group, "theory": theory, "n_parameters": len(own)}
    row |= {"bic": f"{found.bic:.1f}", "starts_at_best": found.n_starts_at_best}
    return row | {name: f"{x:.4f}" for name, x in numbers.items()}


def fits_table(path: Path = PATH) -> str:
    """Return BIC above the lowest by theory and group of runs, and median errors, in Markdown."""
    rows = read_rows(path, needed="theory")
    by_theory = {theory: [each for each in rows if each["theory"] == theory] for theory in THEORIES}
    above = {theory: [] for theory in THEORIES}
    for group in GROUPS:
        bic = {name: _sum(_in_group(own, group), "bic") for name, own in by_theory.items()}
        for theory, value in bic.items():
            above[theory].append(f"{value - min(bic.values()):.0f}")
    lines = [
        (
            f"`{theory}`",
            own[0]["n_parameters"],
            *above[theory],
            f"{_median(own, 'rmse'):.3f}",
            f"{_median(own, 'r2_icl'):.2f}",
        )
        for theory, own in by_theory.items()
    ]
    return markdown_table(["theory", "parameters", *GROUPS, "error", "R² of ICL"], lines)


def noise_table(path: Path = PATH) -> str:
    """Return the noise of both cues, computed and fitted, by deviation within a class."""
    rows = read_rows(path, needed="theory")
    own = [each for each in rows if each["theory"] == "two_cues"]
    floors, lines = floors_by_level(), []
    for level, found in noise_by_level(own).items():
        cells = [f"{level:g}"]
        for name in ("sigma", "nu"):
            cells.append(f"{getattr(floors[level], name):.2f}")
            cells.append(", ".join(f"{x:.2f}" for x in found[name]))
        lines.append(cells)
    heads = (f"{name}, {how}" for name in ("sigma", "nu") for how in ("computed", "fitted by seed"))
    return markdown_table(["deviation within a class", *heads], lines)


def noise_by_level(rows: Sequence[Row]) -> dict[float, dict[str, list[float]]]:
    """Return the fitted noise of each cue, in the order of seeds, by deviation within a class."""
    found: dict[float, dict[str, list[float]]] = {}
    for row in sorted(_in_group(rows, VARIED), key=lambda row: row["run"]):
        level = float(row["run"].split("_")[-2])
        for name in ("sigma", "nu"):
            found.setdefault(level, {}).setdefault(name, []).append(float(row[name]))
    return dict(sorted(found.items()))


def _in_group(rows: Sequence[Row], group: str) -> list[Row]:
    return [each for each in rows if each["group"] == group]


def _sum(rows: Sequence[Row], column: str) -> float:
    return sum(float(each[column]) for each in rows)


def _median(rows: Sequence[Row], column: str) -> float:
    return float(np.median([float(each[column]) for each in rows]))


if __name__ == "__main__":
    fit_runs(sys.argv[1:] or THEORIES)
