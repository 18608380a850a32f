"""Every theory against every run: fitted to all of it, and asked for what it has not seen.

`python -m paper_figures.comparison.confront` fits them all (a quarter of an hour), those of
runs that are named alone, and writes `fits.csv`, `forecasts.csv` and the verdicts on the bet, of
which docs/comparison.md tells.

- fits: to the losses from `LEAD` of the time at which ICL emerges, for theories know no earlier
  phase (where it does not, only the next); and to the in-context accuracies from the start
- forecasts: from in-context accuracies until `MARGIN` times the first time at which Flip accuracy
  is above `RISEN`; asked for the rest of the run
"""

import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from coopetition.compare.curves import Curves, read_curves
from coopetition.compare.forecast import EVENTS, find_events, forecast
from coopetition.compare.posterior import sample_posterior
from coopetition.compare.selection import compare_theories
from coopetition.compare.theory import CURVES
from coopetition.dynamics.events import crossing_time
from coopetition.tools.commands import run_as_program
from coopetition.tools.console import ProgressReport
from coopetition.tools.errors import UsageError, abbreviate
from coopetition.tools.files import to_csv, write_json, write_text
from paper_figures.coopetition.figure_5 import LEAD
from paper_figures.core.figure import find_figure
from paper_figures.core.kept_data import DATA, rows_by_run
from paper_figures.core.runs import FigureRun, Runs, all_found
from paper_figures.within_class.predictions import measured_errors
from transformer.experiments.coopetition import DATA_SEED, SEED_GRID, SEEDS
from transformer.experiments.within_class import LEVELS
from transformer.measures.events import RISEN

FOLDER = DATA / "comparison"
VERDICTS = DATA / "within_class" / "verdicts.json"
PUBLISHED = Path(__file__).parents[2] / "tests" / "reference" / "figure_5b_loss.csv"
PUBLISHED_FROM = 3e6  # sequences: its early part is interpolated between a few points
OTHERS = [pair for pair in SEED_GRID if pair not in {(seed, DATA_SEED) for seed in SEEDS}]
GROUPS = (
    Runs("coopetition/main", scale="paper"),
    Runs("coopetition/main"),
    *(Runs(f"coopetition/seeds_{i}_{d}", optional=True) for i, d in OTHERS),
    Runs("coopetition/three_heads_ablated", optional=True),
    Runs("glyphs"),
    *(Runs(f"within_class/main_{level}") for level in LEVELS),
)
ACCURACY = "in_context_accuracy"
MARGIN = 1.5  # of the time at which Flip has risen
N_DRAWS = 40
PROG = "python -m paper_figures.comparison.confront"

Rows = list[dict[str, Any]]


def all_runs() -> list[FigureRun]:
    """All kept runs that theories are held against."""
    return [run for found in all_found(GROUPS) for run in found]


def published() -> tuple[str, Curves]:
    """The paper's losses, as a problem."""
    if not PUBLISHED.is_file():
        raise UsageError(f"{PUBLISHED} is not there; run this in a checkout of the repository")
    return "published figure 5b", read_curves(PUBLISHED).between(PUBLISHED_FROM)


def problems(runs: Iterable[FigureRun]) -> Iterator[tuple[str, Curves]]:
    """What is fitted of runs: a name, and the part of the curves."""
    for run in runs:
        emergence = run.timeline().emergence
        if emergence is not None:
            yield run.name, run.curves("loss").select(CURVES).between(LEAD * emergence)
        yield run.name, run.curves(ACCURACY).select(CURVES)


def fits(problems: Iterable[tuple[str, Curves]]) -> Iterator[Rows]:
    """Of every problem, a row a theory."""
    for name, curves in problems:
        found = compare_theories(curves)
        yield [
            {
                "run": name,
                "metric": curves.metric,
                "theory": row["name"],
                "n_numbers": row["n_fitted"],
                "n_effective": found.n_effective,
                "bic": row["bic"],
                **{f"r2_{curve}": row["r2"][curve] for curve in CURVES},
                "converged": row["converged"],
                "n_starts_at_best": fit.n_starts_at_best,
                "identifiable": " ".join(n for n, e in fit.parameters.items() if e.is_identified),
                "untold": " ".join(fit.unidentified),
            }
            for row, fit in zip(found.rows(), found.fits, strict=True)
        ]


def known_until(run: FigureRun) -> float | None:
    """What may be known: until `MARGIN` times the first time at which Flip is above `RISEN`.

    None where it never is.  At that time nothing of the future is used.
    """
    flip = run.curves(ACCURACY).select(("flip",))
    risen = crossing_time(flip.sequences, flip.values["flip"], RISEN, rising=True)
    return None if risen is None else MARGIN * risen


def measured_events(run: FigureRun) -> dict[str, float | None]:
    """Events of a run as forecasts mean them: Flip above one half is a preference for ICL."""
    curves = run.curves(ACCURACY)
    preference = {"preference": curves.values["flip"] - 0.5}
    return find_events(curves.sequences, measured_errors(curves) | preference)


def forecasts(runs: Iterable[FigureRun]) -> Iterator[Rows]:
    """Of every run in which ICL comes to be preferred, a row a theory and event."""
    for run in runs:
        until = known_until(run)
        if until is None:
            continue
        measured = measured_events(run)
        known = run.curves(ACCURACY).select(CURVES).between(last=until)
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
                for event in EVENTS
            ]
        yield rows


def verdicts() -> list[dict[str, Any]]:
    """What became of the claims of the bet."""
    figure = find_figure("within_class", "1")
    return figure.draw(*all_found(figure.needs)).provenance["verdicts"]


def write(name: str, made: Iterator[Rows], total: int, known: Mapping[str, Rows]) -> None:
    """Write a table, whole or not at all; of a run that is made anew its rows take the place of
    those that are known, by run.
    """
    fresh: dict[str, Rows] = {}
    with ProgressReport(name, total, "problems") as report:
        for some in made:
            fresh.setdefault(some[0]["run"], []).extend(some)
            report.advance()
    rows = [row for own in {**known, **fresh}.values() for row in own]
    rounded = ({name: _rounded(value) for name, value in row.items()} for row in rows)
    write_text(FOLDER / f"{name}.csv", to_csv(rounded))
    print(f"wrote {FOLDER / name}.csv")


def _rounded(value: Any) -> Any:
    return f"{value:.6g}" if isinstance(value, float) else "" if value is None else value


def confront(names: list[str]) -> int:
    """Confront theories with all runs, or with those that are named; the exit code."""
    every = {run.name: run for run in all_runs()}
    if unknown := [name for name in names if name not in every]:
        raise UsageError(
            f"no run {abbreviate(unknown)}; choose among {abbreviate(list(every), 50)}"
        )
    own = [every[name] for name in names or every]

    def known(table: str) -> Mapping[str, Rows]:
        return rows_by_run(FOLDER / f"{table}.csv", by="run") if names else {}

    write("forecasts", forecasts(own), len(own), known("forecasts"))
    asked = [*([] if names else [published()]), *problems(own)]
    write("fits", fits(asked), len(asked), known("fits"))
    write_json(VERDICTS, verdicts())
    print(f"wrote {VERDICTS}")
    return 0


if __name__ == "__main__":
    sys.exit(run_as_program(lambda: confront(sys.argv[1:]), PROG))
