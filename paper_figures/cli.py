"""Draw the figures of the papers from runs of our own."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro

from coopetition.tools.command_line import exit_code
from coopetition.tools.errors import UsageError
from coopetition.tools.files import check_file
from coopetition.tools.flags import parse
from paper_figures.figure import Figure, Runs, Tables, figures_of, find_figure, papers
from paper_figures.sources import (
    SCALE,
    FigureRun,
    KeptTable,
    kept_runs,
    kept_tables,
    trained_run,
)
from transformer.config.scale import Scale

PROG = "python -m paper_figures"
USAGE = f"""usage: {PROG} PAPER FIGURE [flags]
       {PROG} --list
       {PROG} keep RUNS [flags]"""


@dataclass(frozen=True, kw_only=True)
class FigureFlags:
    """Draw a figure: computed now, from kept curves of runs, or from a run trained now."""

    figure: tyro.conf.Positional[str]
    """Which one: see --list."""
    out: Path = Path("figures")
    """Folder for the PNG, PDF, CSV (numbers) and JSON (provenance)."""
    preset: str | None = None
    """Draw the runs of another preset, as glyphs (the figure's own without)."""
    scale: Scale = SCALE
    """At which the kept runs were made: `paper`, or what two CPU cores can do."""
    retrain: bool = False
    """Train a run of --preset now instead; one on features is made by a sweep."""
    init_seed: int | None = None
    """The run to draw first, or to train (without: the lowest kept, or the preset's own)."""


def draw_command(paper: str, arguments: list[str]) -> None:
    """Draw a figure, write its files and print where they are and what it shows."""
    flags = parse(FigureFlags, arguments, prog=f"{PROG} {paper}")
    if flags.out.exists() and not flags.out.is_dir():
        raise UsageError(f"--out {flags.out} is a file; give a folder")
    figure = find_figure(paper, flags.figure)
    check_file(flags.out / "figure")
    if not figure.needs and flags != FigureFlags(figure=flags.figure, out=flags.out):
        raise UsageError(f"figure {paper} {figure.slot} is of no trained run; it takes only --out")
    if (flags.preset or flags.retrain) and any(isinstance(need, Tables) for need in figure.needs):
        raise UsageError(
            f"figure {paper} {figure.slot} is of models, not of curves alone; leave out "
            + ("--preset" if flags.preset else "--retrain")
        )
    result = figure.draw(*(_found(need, flags) for need in figure.needs))
    for path in result.write(
        flags.out, _stem(figure, flags.preset, flags.scale), figure.describe()
    ):
        print(f"wrote {path}")
    for line in result.findings:
        print(line)


def _found(need: Runs | Tables, flags: FigureFlags) -> list[FigureRun] | list[KeptTable]:
    if isinstance(need, Tables):
        return kept_tables(need.kind, need.preset, flags.init_seed, flags.scale)
    preset = flags.preset or need.preset
    if not flags.retrain:
        return kept_runs(preset, flags.init_seed, flags.scale)
    return [trained_run(preset, flags.out, init_seed=flags.init_seed, scale=flags.scale)]


def _stem(figure: Figure, preset: str | None, scale: Scale) -> str:
    """The name of a figure's files, which tells if it is drawn from other runs than its own."""
    stem = f"{figure.paper}_{figure.slot}"
    if preset is not None and preset not in {need.preset for need in figure.needs}:
        stem += f"_{preset.replace('/', '_')}"
    return stem if scale == SCALE else f"{stem}_{scale}"


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
    from paper_figures.keep import keep_finished
    from transformer.experiments.plans import load_plan

    flags = parse(KeepFlags, arguments, prog=f"{PROG} keep")
    if flags.paper not in papers():
        raise UsageError(f"--paper {flags.paper} is unknown; choose one of {', '.join(papers())}")
    plan = load_plan(flags.plan or flags.paper, flags.scale)
    kept, left_out = keep_finished(plan, flags.runs, flags.paper, flags.scale)
    for sentence in left_out:
        print(f"left out {sentence}", file=sys.stderr)
    print(f"kept {', '.join(kept)}" if kept else "all finished runs are kept already")


def print_list() -> None:
    """Print the figures that can be drawn, under the names that commands take."""
    for paper in papers():
        for figure in figures_of(paper).values():
            number = "" if figure.number == figure.slot else f" ({figure.number})"
            print(f"{paper} {figure.slot}{number}: {figure.title}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    return exit_code(lambda: _dispatch(given), PROG)


def _dispatch(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help"):
        print(USAGE + f"\n\n{__doc__}\n")
        for paper, what in papers().items():
            print(f"  {paper:12} {what}")
        return 0 if arguments else 2
    name, *rest = arguments
    if name == "--list":
        if rest:
            raise UsageError(f"--list takes no arguments; got {' '.join(rest)}")
        print_list()
    elif name == "keep":
        keep_command(rest)
    elif name in papers():
        draw_command(name, rest)
    else:
        raise UsageError(f"unknown paper {name!r}; choose one of {', '.join(papers())}, or --list")
    return 0
