"""Draw the figures of the papers from runs of our own."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

from coopetition.tools.checks import check_int
from coopetition.tools.commands import parse_flags, run_as_program
from coopetition.tools.console import print_json, print_rows
from coopetition.tools.errors import UsageError, abbreviate
from coopetition.tools.files import check_writable
from paper_figures.core.figure import (
    SCALES,
    Figure,
    FigureResult,
    figures_of,
    find_figure,
    papers,
    unknown_paper,
)
from paper_figures.core.kept_data import DATA
from paper_figures.core.plotting import as_trial, draw_all, draw_preset, stem_of
from paper_figures.core.runs import SCALE, NotKeptError, all_found, kept_runs, trained_run
from transformer.config.run import Scale

ALL = ("*",)  # pattern of all nodes
PROG = "python -m paper_figures"
USAGE = f"""usage: {PROG} PAPER FIGURE [flags]
       {PROG} --list [--json]
       {PROG} --all [flags]
       {PROG} make PAPER FIGURE --runs DIR [flags]
       {PROG} preset NAME [flags]
       {PROG} keep RUNS [flags]
       {PROG} results [--json]
       {PROG} pages
       {PROG} pictures"""


@dataclass(frozen=True, kw_only=True)
class FigureFlags:
    """Draw a figure: computed now, or from kept curves of runs."""

    figure: tyro.conf.Positional[str]
    """Which one: see --list."""
    out: Path = Path("figures")
    """Folder for the PNG, PDF, CSV (numbers) and JSON (provenance, verdicts on claims)."""
    scale: Scale = SCALE
    """At which the kept runs were made: `paper`, or what two CPU cores can do."""
    init_seed: int | None = None
    """The run to draw first (without: the lowest kept)."""


def draw_command(paper: str, arguments: list[str]) -> None:
    """Draw a figure, write its files and print where they are and what it shows."""
    flags = parse_flags(FigureFlags, arguments, prog=f"{PROG} {paper}")
    _check_folder(flags.out)
    figure = find_figure(paper, flags.figure)
    _check_kept(flags.scale)
    if figure.of_several_scales and flags.scale != SCALE:
        raise UsageError(f"{paper} {figure.slot} is of runs of two scales; leave out --scale")
    if not figure.needs and flags != FigureFlags(figure=flags.figure, out=flags.out):
        raise UsageError(f"figure {paper} {figure.slot} is of no trained run; it takes only --out")
    found = _kept(figure, flags)
    missing = figure.missing(found)
    _write(figure.drawn(found), flags.out, stem_of(figure.stem, flags.scale, flags.init_seed))
    if missing:
        print(f"not kept at scale {flags.scale}: {abbreviate(missing, 20)}")


def _kept(figure: Figure, flags: FigureFlags) -> list[list[Any]]:
    """What is kept of a figure's needs; `UsageError` where it cannot be drawn of that."""
    try:
        found = all_found(figure.needs, flags.init_seed, flags.scale)
    except NotKeptError:
        found = []
    if figure.needs and not any(found):
        of_seed = "" if flags.init_seed is None else f" of seed {flags.init_seed}"
        name, at = f"{figure.paper} {figure.slot}", f"at scale {flags.scale}"
        raise UsageError(
            f"what figure {name} needs{of_seed} is not kept {at}; make it by "
            f"`{PROG} make {name} --scale {flags.scale} --runs DIR`"
        )
    return found


def _write(drawn: FigureResult, out: Path, stem: str) -> None:
    """Write a figure's files, and print where they are and what it shows."""
    _tell_written(drawn.write(out, stem))
    for line in drawn.findings:
        print(line)
    for each in drawn.provenance.get("claims", ()):
        print(f"{each['verdict']}: {each['claim']}")


def _tell_written(paths: list[Path]) -> None:
    for path in paths:
        print(f"wrote {path}")


def _check_kept(scale: Scale) -> None:
    """Raise `UsageError` for a scale whose runs are not kept."""
    if scale not in SCALES:
        raise UsageError(
            f"--scale {scale} is for trying, and not kept; choose one of {', '.join(SCALES)}"
        )


def _check_folder(out: Path) -> None:
    """Raise `UsageError` if files cannot be written there."""
    if out.exists() and not out.is_dir():
        raise UsageError(f"--out {out} is a file; give a folder")
    check_writable(out / "figure")


@dataclass(frozen=True, kw_only=True)
class PresetFlags:
    """Draw the curves of a preset's runs: kept ones, or one that is trained now."""

    preset: tyro.conf.Positional[str]
    """As glyphs; see `python -m transformer presets`."""
    out: Path = Path("figures")
    """Folder for the PNG, PDF, CSV (numbers) and JSON (provenance), and the run's own."""
    scale: Scale = SCALE
    """`paper`, or what two CPU cores can do."""
    retrain: bool = False
    """Train a run now; one that needs others is made by a sweep."""
    init_seed: int | None = None
    """Of the run to draw first, or to train (without: the lowest kept, or the preset's own)."""


def preset_command(arguments: list[str]) -> None:
    """Draw runs of a preset."""
    flags = parse_flags(PresetFlags, arguments, prog=f"{PROG} preset")
    _check_folder(flags.out)
    if flags.retrain:
        run = trained_run(flags.preset, flags.out, init_seed=flags.init_seed, scale=flags.scale)
        runs = [run]
    else:
        _check_kept(flags.scale)
        runs = kept_runs(flags.preset, flags.init_seed, flags.scale)
    stem = stem_of(flags.preset, flags.scale, flags.init_seed)
    drawn = draw_preset(flags.preset, runs)
    is_trial = "smoke" in (flags.scale, flags.preset)
    _write(as_trial(drawn) if is_trial else drawn, flags.out, stem)


@dataclass(frozen=True, kw_only=True)
class AllFlags:
    """Draw every figure of which what it needs is kept, at every scale at which it is."""

    out: Path = Path("figures")
    """Folder for their files."""
    jobs: int = 2
    """Processes at once."""


def all_command(arguments: list[str]) -> None:
    """Draw all figures; print what was drawn, and what is not made yet."""
    flags = parse_flags(AllFlags, arguments, prog=f"{PROG} --all")
    _check_folder(flags.out)
    check_int("--jobs", flags.jobs, 1)
    print_rows(draw_all(flags.out, flags.jobs), as_json=False)


@dataclass(frozen=True, kw_only=True)
class MakeFlags:
    """Train and measure what a figure needs, where that is not made, and draw it."""

    paper: tyro.conf.Positional[str]
    """Whose figure."""
    figure: tyro.conf.Positional[str]
    """Which one: see --list."""
    runs: Path
    """The folder of all that is made, as that of a sweep; curves are kept in `kept` within it."""
    scale: Scale = SCALE
    """`paper`; `cpu`, what two cores can do; `smoke`, some steps of each run."""
    only: tuple[str, ...] = ALL
    """Make only these nodes of the sweep, by names or patterns such as 'main_*' (default: all)."""
    seeds: tuple[int, ...] = ()
    """Make only runs of these initial seeds (default: all that the figure shows)."""
    out: Path = Path("figures")
    """Folder for the figure's files."""
    jobs: int = 1
    """Processes at once, each with one run."""
    threads: int = 1
    """CPU threads of each."""
    device: str = "auto"
    """auto, cpu, cuda or mps."""
    retry: bool = False
    """Try failed nodes of the sweep again."""
    dry_run: bool = False
    """Print what would be done and how long it will take; do nothing."""


def make_command(arguments: list[str]) -> None:
    """Make what a figure needs, and draw it."""
    from paper_figures.core.build import make, sweep_of

    flags = parse_flags(MakeFlags, arguments, prog=f"{PROG} make")
    figure = find_figure(flags.paper, flags.figure)
    _check_folder(flags.out)
    sweep = sweep_of(
        figure,
        flags.runs,
        scale=flags.scale,
        only=flags.only,
        seeds=flags.seeds,
        jobs=flags.jobs,
        threads=flags.threads,
        device=flags.device,
        retry=flags.retry,
        dry_run=flags.dry_run,
    )
    made = make(figure, sweep)
    if made is None:
        return
    data, left_out = made
    _tell_left_out(left_out)
    try:
        found = all_found(figure.needs, None, flags.scale, data)
    except NotKeptError:
        if flags.only == ALL and not flags.seeds:
            raise
        where = f"{figure.paper} {figure.slot}"
        print(
            f"{where} is not drawn: it needs more than was asked for; leave out --only and --seeds"
        )
        return
    drawn = figure.drawn(found)
    if flags.scale == "smoke":
        drawn = as_trial(drawn)
    _write(drawn, flags.out, stem_of(figure.stem, flags.scale))


@dataclass(frozen=True, kw_only=True)
class KeepFlags:
    """Keep the curves of a sweep's finished runs, and its tables, in this package for figures."""

    runs: tyro.conf.Positional[Path]
    """The sweep's folder."""
    paper: str = "coopetition"
    """Whose runs they are."""
    plan: str | None = None
    """The sweep's plan, if it is another than that of all the paper's runs."""
    scale: Scale = "cpu"
    """At which scale."""


def keep_command(arguments: list[str]) -> None:
    """Keep finished runs and tables; print which, and what is left out."""
    from paper_figures.core.kept_data import keep_finished
    from transformer.experiments.plans import load_plan

    flags = parse_flags(KeepFlags, arguments, prog=f"{PROG} keep")
    if flags.paper not in papers():
        raise UsageError(f"--paper {flags.paper} is unknown; choose one of {', '.join(papers())}")
    _check_kept(flags.scale)
    plan = load_plan(flags.plan or flags.paper, flags.scale)
    kept, left_out = keep_finished(plan, flags.runs, flags.paper, flags.scale, DATA)
    _tell_left_out(left_out)
    print(f"kept {', '.join(kept)}" if kept else "all finished runs are kept already")


def _tell_left_out(sentences: list[str]) -> None:
    for sentence in sentences:
        print(f"left out {sentence}", file=sys.stderr)


@dataclass(frozen=True, kw_only=True)
class ListFlags:
    """Print all figures: what is kept for each, at which scale, of which seeds."""

    json: bool = False
    """As JSON, an object a figure."""


def list_command(arguments: list[str]) -> None:
    """Print the figures under the names that commands take, and what is kept for them."""
    flags = parse_flags(ListFlags, arguments, prog=f"{PROG} --list")
    rows = [row for paper in papers() for row in map(Figure.status, figures_of(paper).values())]
    print_rows(rows, as_json=flags.json)


@dataclass(frozen=True, kw_only=True)
class ResultsFlags:
    """Print every claim of the paper with our verdict, as judged now from kept curves.

    docs/results.md says by which rule, and shows them by figure.
    """

    json: bool = False
    """As JSON, an object a claim and scale, with what each run says."""


def results_command(arguments: list[str]) -> None:
    """Print the verdict on every claim."""
    from paper_figures.core.verdicts import judged, result_rows

    flags = parse_flags(ResultsFlags, arguments, prog=f"{PROG} results")
    if flags.json:
        print_json([each.to_dict() for each in judged()])
    else:
        print_rows(result_rows(judged()), as_json=False)


@dataclass(frozen=True, kw_only=True)
class PagesFlags:
    """Write those parts of README.md and docs/ anew that are told by what is kept."""


def pages_command(arguments: list[str]) -> None:
    """Write those parts."""
    from paper_figures.pages import write_pages

    parse_flags(PagesFlags, arguments, prog=f"{PROG} pages")
    _tell_written(write_pages())


@dataclass(frozen=True, kw_only=True)
class PicturesFlags:
    """Draw the pictures of README.md and docs/ anew: some minutes."""


def pictures_command(arguments: list[str]) -> None:
    """Draw the pictures of README.md and docs/."""
    from paper_figures.pages import write_pictures

    parse_flags(PicturesFlags, arguments, prog=f"{PROG} pictures")
    _tell_written(write_pictures())


COMMANDS: dict[str, Callable[[list[str]], None]] = {
    "--list": list_command,
    "--all": all_command,
    "make": make_command,
    "keep": keep_command,
    "preset": preset_command,
    "results": results_command,
    "pages": pages_command,
    "pictures": pictures_command,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    return run_as_program(lambda: _dispatch(given), PROG)


def _dispatch(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help"):
        print(USAGE + f"\n\n{__doc__}\n")
        for paper, what in papers().items():
            print(f"  {paper:12} {what}")
        return 0 if arguments else 2
    name, *rest = arguments
    if name in COMMANDS:
        COMMANDS[name](rest)
    elif name in papers():
        draw_command(name, rest)
    else:
        raise unknown_paper(name)
    return 0
