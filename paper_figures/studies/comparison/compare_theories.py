"""Fit every theory to every kept run, and compare its forecasts with what was measured.

`python -m paper_figures.studies.comparison.compare_theories [RUN ...]` takes a quarter of an hour
for all runs.  It writes `fits.csv`, `forecasts.csv` and the verdicts on the predictions of mu1, on
which docs/comparison.md reports.

- fits: to the losses from `LEAD` of the time of emergence, as theories know no earlier phase, and
  to the in-context accuracies from the start
- forecasts: from in-context accuracies until `MARGIN` times the first time at which Flip accuracy
  exceeds `RISEN`, for the rest of the run
"""

import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from coopetition.compare.curves import FITTED_CURVES, Curves
from coopetition.compare.forecast import forecast
from coopetition.compare.posterior import sample_posterior
from coopetition.compare.reading import read_curves
from coopetition.compare.selection import compare_theories
from coopetition.dynamics.events import FORECAST_EVENTS, RISEN, crossing_time, find_forecast_events
from coopetition.tools.commands import run_as_program
from coopetition.tools.console import ProgressReport
from coopetition.tools.errors import UsageError, abbreviate
from coopetition.tools.files import to_csv, write_json, write_text
from paper_figures.coopetition.fits import LEAD, measured_errors
from paper_figures.core.figure import find_figure
from paper_figures.core.kept_data import rows_by_run
from paper_figures.core.runs import FigureRun, Runs, find_needs
from paper_figures.studies.comparison.page_comparison import FOLDER, VERDICTS

PUBLISHED = Path(__file__).parents[3] / "tests" / "reference" / "figure_5b_loss.csv"
PUBLISHED_FROM = 3e6  # sequences; before that, it is interpolated between a few points
GROUPS = (
    Runs("coopetition/main", scale="paper"),
    Runs("coopetition/main"),
    Runs("coopetition/seeds_*"),
    Runs("coopetition/three_heads_ablated", optional=True),
    Runs("glyphs"),
    Runs("within_class/main_*"),
)
MARGIN = 1.5  # of the time at which Flip has risen
N_DRAWS = 40
PROG = "python -m paper_figures.studies.comparison.compare_theories"

Rows = list[dict[str, Any]]


def all_runs() -> list[FigureRun]:
    """Return all kept runs that theories are compared on, each once."""
    runs: dict[Path, FigureRun] = {}
    for run in (run for found in find_needs(GROUPS) for run in found):
        runs.setdefault(run.path, run)
    return [*runs.values()]


def published_curves() -> Curves:
    """Return the paper's losses."""
    if not PUBLISHED.is_file():
        raise UsageError(f"{PUBLISHED} is missing; run this in a checkout of the repository")
    return read_curves(PUBLISHED).between(PUBLISHED_FROM)


def fitted_curves(runs: Iterable[FigureRun]) -> Iterator[tuple[str, Curves]]:
    """Yield a name and the part of the curves, for all that is fitted."""
    for run in runs:
        emergence = run.timeline().emergence
        if emergence is not None:
            yield run.name, run.curves("loss").select(FITTED_CURVES).between(LEAD * emergence)
        yield run.name, run.curves().select(FITTED_CURVES)


def fits(named_curves: Iterable[tuple[str, Curves]]) -> Iterator[Rows]:
    """Yield the rows of each set of curves, one per theory."""
    for name, curves in named_curves:
        found = compare_theories(curves)
        yield [
            {
                "run": name,
                "metric": curves.metric,
                "theory": row["name"],
                "n_numbers": row["n_fitted"],
                "n_effective": found.n_effective,
                "bic": row["bic"],
                **{f"r2_{curve}": row["r2"][curve] for curve in FITTED_CURVES},
                "converged": row["converged"],
                "n_starts_at_best": fit.n_starts_at_best,
                "identifiable": " ".join(n for n, e in fit.parameters.items() if e.is_identified),
                "unidentified": " ".join(fit.unidentified),
            }
            for row, fit in zip(found.rows(), found.fits, strict=True)
        ]


def known_until(run: FigureRun) -> float | None:
    """Return `MARGIN` times the first time at which Flip exceeds `RISEN`; None if it never does.

    This uses nothing of the future.
    """
    flip = run.curves().select(("flip",))
    risen = crossing_time(flip.sequences, flip.values["flip"], RISEN, rising=True)
    return None if risen is None else MARGIN * risen


def measured_events(run: FigureRun) -> dict[str, float | None]:
    """Return a run's events as forecasts define them: Flip above one half is preference for ICL."""
    curves = run.curves()
    preference = {"preference": curves.values["flip"] - 0.5}
    return find_forecast_events(curves.sequences, measured_errors(curves) | preference)


def forecasts(runs: Iterable[FigureRun]) -> Iterator[Rows]:
    """Yield the rows of each run in which ICL becomes preferred, one per theory and event."""
    for run in runs:
        until = known_until(run)
        if until is None:
            continue
        measured = measured_events(run)
        known = run.curves().select(FITTED_CURVES).between(last=until)
        rows = []
        for fit in compare_theories(known, n_starts=16).fits:
            expected = forecast(sample_posterior(fit, n=N_DRAWS), run.n_sequences).events
            rows += [
                {
                    "run": run.name,
                    "theory": fit.theory,
                    "known_until": until,
                    "end": run.n_sequences,
                    "event": event,
                    "measured": measured[event],
                    "value": expected[event].value,
                    "low": expected[event].low,
                    "high": expected[event].high,
                    "status": expected[event].status,
                }
                for event in FORECAST_EVENTS
            ]
        yield rows


def verdicts() -> list[dict[str, Any]]:
    """Judge the predictions of mu1."""
    figure = find_figure("within_class", "1")
    return figure.draw(*find_needs(figure.needs)).provenance["verdicts"]


def write(name: str, made: Iterator[Rows], total: int, known: Mapping[str, Rows]) -> None:
    """Write a table; new rows of a run replace its known ones."""
    new: dict[str, Rows] = {}
    with ProgressReport(name, total, "problems") as report:
        for rows in made:
            new.setdefault(rows[0]["run"], []).extend(rows)
            report.advance()
    rows = [row for of_run in {**known, **new}.values() for row in of_run]
    texts = ({name: _text(value) for name, value in row.items()} for row in rows)
    write_text(FOLDER / f"{name}.csv", to_csv(texts))
    print(f"wrote {FOLDER / name}.csv")


def _text(value: Any) -> Any:
    return f"{value:.6g}" if isinstance(value, float) else "" if value is None else value


def run(names: list[str]) -> int:
    """Compare theories on all runs, or on those named; return the exit code."""
    runs = {each.name: each for each in all_runs()}
    if unknown := [name for name in names if name not in runs]:
        raise UsageError(f"no run {abbreviate(unknown)}; choose from {abbreviate(list(runs), 50)}")
    own = [runs[name] for name in names or runs]

    def known(table: str) -> Mapping[str, Rows]:
        return rows_by_run(FOLDER / f"{table}.csv", by="run") if names else {}

    write("forecasts", forecasts(own), len(own), known("forecasts"))
    paper = [] if names else [("published figure 5b", published_curves())]
    curves = [*paper, *fitted_curves(own)]
    write("fits", fits(curves), len(curves), known("fits"))
    write_json(VERDICTS, verdicts())
    print(f"wrote {VERDICTS}")
    return 0


if __name__ == "__main__":
    sys.exit(run_as_program(lambda: run(sys.argv[1:]), PROG))
