"""Every theory against every run: fitted to all of it, and asked for what it has not seen.

`python -m paper_figures.comparison.confront` fits them all (a quarter of an hour) and writes
`fits.csv`, `forecasts.csv` and the verdicts on the bet, of which docs/comparison.md tells.

- fits: to the losses from `LEAD` of the time at which ICL emerges, for theories know no earlier
  phase; and to the in-context accuracies from the start
- forecasts: from in-context accuracies until `MARGIN` times the time of emergence, which is what
  may be known; asked for the rest of the run
"""

import csv
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from coopetition.compare.curves import Curves, read_curves
from coopetition.compare.draws import draws
from coopetition.compare.forecast import EVENTS, forecast
from coopetition.compare.selection import compare
from coopetition.compare.theory import CURVES
from coopetition.tools.errors import UsageError
from coopetition.tools.files import write_json, write_text
from coopetition.tools.progress import ProgressReport
from paper_figures.coopetition.figure_5 import LEAD
from paper_figures.figure import Runs, find_figure
from paper_figures.sources import DATA, FigureRun, kept_runs
from transformer.experiments.within_class import LEVELS

FOLDER = DATA / "comparison"
VERDICTS = DATA / "within_class" / "verdicts.json"
PUBLISHED = Path(__file__).parents[2] / "tests" / "reference" / "figure_5b_loss.csv"
PUBLISHED_FROM = 3e6  # sequences: its early part is interpolated between a few points
PRESETS = (
    "coopetition/main",
    "glyphs",
    *(f"within_class/main_{level}" for level in LEVELS),
)
ACCURACY = "in_context_accuracy"
MARGIN = 1.5  # of the time of emergence
N_DRAWS = 60

Rows = list[dict[str, Any]]


def runs() -> list[FigureRun]:
    """All kept runs that theories are held against."""
    return [run for preset in PRESETS for run in kept_runs(preset)]


def problems() -> Iterator[tuple[str, Curves]]:
    """What is fitted: a name, and the part of the curves."""
    if not PUBLISHED.is_file():
        raise UsageError(f"{PUBLISHED} is not there; run this in a checkout of the repository")
    yield "published figure 5b", read_curves(PUBLISHED).between(PUBLISHED_FROM)
    for run in runs():
        first = LEAD * (run.timeline().emergence or 0.0)
        yield run.name, run.curves("loss").select(CURVES).between(first)
        yield run.name, run.curves(ACCURACY).select(CURVES)


def fits() -> Iterator[Rows]:
    """Of every problem, a row a theory."""
    for name, curves in problems():
        found = compare(curves)
        yield [
            {
                "run": name,
                "metric": curves.metric,
                "theory": row["name"],
                "n_numbers": row["n_numbers"],
                "n_effective": found.n_effective,
                "bic": row["bic"],
                **{f"r2_{curve}": row["r2"][curve] for curve in CURVES},
                "converged": row["converged"],
                "n_starts_at_best": fit.n_starts_at_best,
                "identifiable": " ".join(n for n, e in fit.parameters.items() if e.told),
                "untold": " ".join(fit.untold),
            }
            for row, fit in zip(found.rows(), found.fits, strict=True)
        ]


def forecasts() -> Iterator[Rows]:
    """Of every run in which ICL emerges, a row a theory and event."""
    for run in runs():
        told = run.timeline()
        if told.emergence is None:
            continue
        measured = {"peak": told.icl_peak_at, "crossing": told.crossing, "fade": told.fade}
        known = run.curves(ACCURACY).select(CURVES).between(last=MARGIN * told.emergence)
        rows = []
        for fit in compare(known).fits:
            expected = forecast(draws(fit, n=N_DRAWS), run.n_sequences).events
            rows += [
                {
                    "run": run.name,
                    "theory": fit.theory,
                    "emergence": told.emergence,
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
    needed = [kept_runs(need.preset) for need in figure.needs if isinstance(need, Runs)]
    return figure.draw(*needed).provenance["claims"]


def write(name: str, made: Callable[[], Iterator[Rows]], total: int) -> None:
    """Write a table, whole or not at all."""
    rows: Rows = []
    with ProgressReport(name, total, "runs") as report:
        for some in made():
            rows += some
            report.advance()
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _rounded(value) for name, value in row.items()} for row in rows)
    write_text(FOLDER / f"{name}.csv", text.getvalue())
    print(f"wrote {FOLDER / name}.csv")


def _rounded(value: Any) -> Any:
    return f"{value:.6g}" if isinstance(value, float) else "" if value is None else value


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    write("forecasts", forecasts, len(runs()))
    write("fits", fits, 1 + 2 * len(runs()))
    write_json(VERDICTS, verdicts())
    print(f"wrote {VERDICTS}")
