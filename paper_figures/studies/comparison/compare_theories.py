"""Fit every theory to every kept run, and compare its forecasts with what was measured.

    python -m paper_figures.studies.comparison.compare_theories [TABLE ...] [--runs RUN ...]
        [--theories NAME ...] [--part K/N]

docs/comparison.md reports on the tables: `fits`, `forecasts`, and `verdicts` on the predictions of
mu1 (default: all).  Each fit or forecast is written when it is done, and skipped if it is in the
table: to continue after an interruption, run the same command again.  Several processes share the
work with `--part 1/2` and `--part 2/2`.  To compute a row again, delete it.

- fits: to the losses from `LEAD` of the time of emergence, as theories know no earlier phase, and
  to the in-context accuracies from the start
- forecasts: by `FORECASTERS`, from the in-context accuracies of the part that
  `held_out.known_until` ends, for the rest of the run; runs without such a part are left out
"""

import math
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import tyro

from coopetition.fitting.curves import FITTED_CURVES, Curves
from coopetition.fitting.estimate import fit
from coopetition.fitting.forecast import forecast
from coopetition.fitting.posterior import Posterior, sample_posterior
from coopetition.fitting.reading import LEAD
from coopetition.fitting.registry import theories, theory_of
from coopetition.fitting.scores import log_time_crps
from coopetition.fitting.theory import Theory
from coopetition.tools.commands import run_as_program
from coopetition.tools.console import ProgressReport, print_written
from coopetition.tools.errors import UsageError, abbreviate
from coopetition.tools.files import to_csv, write_json, write_text
from coopetition.tools.flags import default_shown_as, parse_flags
from paper_figures.core.collect import lock_folder
from paper_figures.core.figure import find_figure
from paper_figures.core.kept_data import read_rows
from paper_figures.core.published import published_curves
from paper_figures.core.runs import FigureRun, Runs, find_needs
from paper_figures.studies.comparison.kept_forecasts import FOLDER, Row
from paper_figures.studies.comparison.page_comparison import PUBLISHED, VERDICTS
from paper_figures.studies.held_out import known_until, measured_events

GROUPS = (
    Runs("coopetition/main", scale="paper"),
    Runs("coopetition/main"),
    Runs("coopetition/seeds_*"),
    Runs("coopetition/three_heads_ablated", optional=True),
    Runs("glyphs"),
    Runs("within_class/main_*"),
)
FORECASTERS = (
    "toy",
    "logistic_race",
    "spline",
    "toy_readout",
    "two_cues_readout",
    "logistic_race_readout",
)
PROG = "python -m paper_figures.studies.comparison.compare_theories"

Table = Literal["fits", "forecasts", "verdicts"]
TABLES: tuple[Table, ...] = get_args(Table)
KEYS = {"fits": ("run", "metric", "theory"), "forecasts": ("run", "theory")}

Rows = list[dict[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Flags:
    """Fit theories to the kept runs, and forecast them."""

    tables: Annotated[tyro.conf.Positional[tuple[Table, ...]], default_shown_as("all")] = ()
    """Tables to complete."""
    runs: Annotated[tuple[str, ...], default_shown_as("all")] = ()
    """Names of runs, as they are in the tables."""
    theories: Annotated[tuple[str, ...], default_shown_as("all")] = ()
    """Names of theories."""
    part: str = "1/1"
    """Part of the work: K/N is every N-th fit or forecast, from the K-th on."""

    def select(self, problems: Sequence["Problem"]) -> Sequence["Problem"]:
        """Return the part of the work."""
        k, _, n = self.part.partition("/")
        if not (k.isdecimal() and n.isdecimal() and 1 <= int(k) <= int(n)):
            raise UsageError(f"--part {self.part}; expected K/N with K from 1 to N")
        return problems[int(k) - 1 :: int(n)]


@dataclass(frozen=True, slots=True)
class Problem:
    """A theory and the curves that it is fitted to: one piece of the work.

    key : its values of the `KEYS` of its table
    compute : returns its rows, without the key
    """

    table: Table
    key: tuple[str, ...]
    compute: Callable[[], Rows]

    @property
    def path(self) -> Path:
        """The file of its table."""
        return FOLDER / f"{self.table}.csv"

    def known_rows(self) -> list[Row]:
        """Return the rows of its table, of all problems."""
        return read_rows(self.path, needed="r_hat") if self.path.exists() else []

    def is_done(self) -> bool:
        """Return whether the table has its rows."""
        return any(key_of(self.table, row) == self.key for row in self.known_rows())

    def write(self, rows: Rows, order: dict[tuple[str, ...], int]) -> None:
        """Add its rows to the table, which is sorted by the keys' order."""
        own = dict(zip(KEYS[self.table], self.key, strict=True))
        with lock_folder(FOLDER):
            known = [row for row in self.known_rows() if key_of(self.table, row) != self.key]
            texts = [*known, *({n: _text(v) for n, v in (own | row).items()} for row in rows)]
            texts.sort(key=lambda row: order.get(key_of(self.table, row), len(order)))
            write_text(self.path, to_csv(texts))


def key_of(table: str, row: Row) -> tuple[str, ...]:
    """Return the key of a row of a table."""
    return tuple(row[name] for name in KEYS[table])


def _text(value: Any) -> Any:
    return f"{value:.6g}" if isinstance(value, float) else "" if value is None else str(value)


def all_runs() -> list[FigureRun]:
    """Return all kept runs that theories are compared on, each once."""
    runs: dict[Path, FigureRun] = {}
    for run in (run for found in find_needs(GROUPS) for run in found):
        runs.setdefault(run.path, run)
    return [*runs.values()]


def fitted_curves(run: FigureRun) -> Iterator[Curves]:
    """Yield the parts of a run's curves that are fitted."""
    emergence = run.timeline().emergence
    if emergence is not None:
        yield run.curves("loss").select(FITTED_CURVES).between(LEAD * emergence)
    yield run.curves().select(FITTED_CURVES)


def all_problems() -> list[Problem]:
    """Return the whole work, by table, run and theory."""
    published, runs = published_curves(), all_runs()
    sets = [(PUBLISHED, published), *((r.name, each) for r in runs for each in fitted_curves(r))]
    return [
        *(
            Problem("fits", (name, curves.metric, theory.name), partial(fit_rows, curves, theory))
            for name, curves in sets
            for theory in theories().values()
        ),
        *(
            Problem("forecasts", (run.name, theory.name), partial(forecast_rows, run, theory))
            for run in runs
            if known_until(run) is not None
            for theory in map(theory_of, FORECASTERS)
        ),
    ]


def fit_rows(curves: Curves, theory: Theory) -> Rows:
    """Return how well a theory fits curves."""
    found = fit(curves, theory)
    posterior = sample_posterior(found)
    return [
        {
            "n_fitted": found.n_fitted,
            "log_evidence": posterior.log_evidence,
            "log_evidence_error": posterior.log_evidence_error,
            **{f"r2_{curve}": found.curves[curve].r2 for curve in FITTED_CURVES},
            **_convergence(posterior),
            "identifiable": " ".join(n for n, e in found.parameters.items() if e.is_identified),
            "unidentified": " ".join(found.unidentified),
        }
    ]


def forecast_rows(run: FigureRun, theory: Theory) -> Rows:
    """Return a theory's forecasts of a run's events, with what was measured."""
    until, end, curves = known_until(run) or 0.0, run.n_sequences, run.curves()
    known = curves.between(last=until)
    posterior = sample_posterior(fit(known.select(theory.fitted_curves), theory))
    found = forecast(posterior, end, measured=known, future=curves.sequences)
    expected = found.events
    return [
        {
            "known_until": until,
            "end": end,
            "event": event,
            "measured": time,
            "value": expected[event].value,
            "low": expected[event].low,
            "high": expected[event].high,
            "probability": expected[event].probability,
            "crps": log_time_crps(
                found.times[event], math.inf if time is None else time, until, end
            ),
            "accepted": found.provenance["n_accepted"] / found.provenance["n_draws"],
            **_convergence(posterior),
        }
        for event, time in measured_events(run).items()
    ]


def _convergence(posterior: Posterior) -> dict[str, Any]:
    return {
        "r_hat": posterior.r_hat,
        "effective_sample_size": posterior.effective_sample_size,
        "converged": posterior.converged,
    }


def verdicts() -> list[dict[str, Any]]:
    """Judge the predictions of mu1."""
    figure = find_figure("within_class", "1")
    return figure.draw(*find_needs(figure.needs)).provenance["verdicts"]


def _check_names(kind: str, given: Iterable[str], known: Iterable[str]) -> None:
    known = [*dict.fromkeys(known)]
    if unknown := [name for name in given if name not in known]:
        raise UsageError(f"no {kind} {abbreviate(unknown)}; choose from {abbreviate(known, 50)}")


def run(arguments: list[str]) -> int:
    """Complete the tables; return the exit code."""
    flags = parse_flags(Flags, arguments, prog=PROG, description=__doc__)
    problems = all_problems()
    _check_names("run", flags.runs, (each.key[0] for each in problems))
    _check_names("theory", flags.theories, (each.key[-1] for each in problems))
    tables = flags.tables or TABLES
    order = {each.key: k for k, each in enumerate(problems)}
    chosen = flags.select(
        [
            each
            for each in problems
            if each.table in tables
            and each.key[0] in (flags.runs or each.key)
            and each.key[-1] in (flags.theories or each.key)
        ]
    )
    written: dict[Path, None] = {}
    with ProgressReport("compare", len(chosen), "fits") as report:
        for each in chosen:
            if not each.is_done():
                each.write(each.compute(), order)
                written[each.path] = None
            report.advance(note=", ".join(each.key))
    if "verdicts" in tables:
        write_json(VERDICTS, verdicts())
        written[VERDICTS] = None
    if written:
        print_written(*written)
    return 0


if __name__ == "__main__":
    sys.exit(run_as_program(lambda: run(sys.argv[1:]), PROG))
