"""Draw the figures of the papers from runs of our own."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType
from typing import Literal

import tyro

from coopetition.tools.command_line import exit_code, parse
from coopetition.tools.errors import UsageError
from paper_figures.coopetition import figure_1, figure_5, figure_16, figure_17
from paper_figures.result import FigureResult
from paper_figures.sources import kept_runs, trained_run
from paper_figures.theory import (
    critical_sets,
    interventions,
    laws,
    order_parameters,
    phases,
    times,
)

DEFAULT_SEED = 5  # of initial parameters: the paper's
PROG = "python -m paper_figures"

FROM_RUNS: dict[int, ModuleType] = {1: figure_1, 5: figure_5}
OF_THE_TOY: dict[int, ModuleType] = {16: figure_16, 17: figure_17}
THEORY: dict[int, ModuleType] = dict(
    enumerate((order_parameters, laws, critical_sets, phases, times, interventions), 1)
)


@dataclass(frozen=True, kw_only=True)
class FigureFlags:
    """Draw a figure from kept curves of finished runs, or from a run trained now."""

    number: tyro.conf.Positional[int]
    """Number of the figure in the paper."""
    out: Path = Path("figures")
    """Folder for the PNG, PDF, CSV (numbers) and JSON (provenance)."""
    preset: Literal["omniglot", "glyphs"] = "omniglot"
    """Which runs to draw."""
    retrain: bool = False
    """Train the run now instead (a quarter of an hour on two cores)."""
    omniglot: str | None = None
    """Path of the Omniglot data, for --retrain."""
    init_seed: int | None = None
    """The run to draw first, or to train (the lowest that is kept without)."""


def coopetition_command(arguments: list[str]) -> None:
    """Draw a figure of the coopetition paper."""
    flags = parse(FigureFlags, arguments, prog=f"{PROG} coopetition")
    _check_folder(flags.out)
    if flags.number in OF_THE_TOY:
        if flags != FigureFlags(number=flags.number, out=flags.out):
            raise UsageError(f"figure {flags.number} is of the minimal model; it takes only --out")
        _write(OF_THE_TOY[flags.number].draw(), flags.out, f"coopetition_{flags.number}")
        return
    module = FROM_RUNS.get(flags.number)
    if module is None:
        raise UsageError(
            f"there is no figure {flags.number}; choose one of {[*FROM_RUNS, *OF_THE_TOY]}"
        )
    if flags.retrain:
        runs = [
            trained_run(
                flags.preset,
                flags.out,
                omniglot=flags.omniglot,
                init_seed=DEFAULT_SEED if flags.init_seed is None else flags.init_seed,
            )
        ]
    else:
        if flags.omniglot is not None:
            raise UsageError("--omniglot is for --retrain; add that, or leave it out")
        runs = kept_runs(flags.preset, first=flags.init_seed)
    stem = f"coopetition_{flags.number}" + ("" if flags.preset == "omniglot" else "_glyphs")
    _write(module.draw(runs), flags.out, stem)
    for run in runs:
        events = (
            f"{name} {'-' if value is None else f'{value:.3g}'}"
            for name, value in asdict(run.timeline()).items()
        )
        print(f"{run.name}: {', '.join(events)}")


@dataclass(frozen=True, kw_only=True)
class TheoryFlags:
    """Draw a figure of the theory (docs/tour.md), computed now."""

    number: tyro.conf.Positional[int]
    """Number of the figure: see --list."""
    out: Path = Path("figures")
    """Folder for the PNG, PDF, CSV (numbers) and JSON (provenance)."""


def theory_command(arguments: list[str]) -> None:
    """Draw a figure of the theory (seconds to two minutes)."""
    flags = parse(TheoryFlags, arguments, prog=f"{PROG} theory")
    _check_folder(flags.out)
    if flags.number not in THEORY:
        raise UsageError(f"there is no figure {flags.number}; choose one of {[*THEORY]}")
    _write(THEORY[flags.number].draw(), flags.out, f"theory_{flags.number}")


def _check_folder(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise UsageError(f"--out {out} is a file; give a folder")


def _write(result: FigureResult, out: Path, stem: str) -> None:
    """Write a figure's files and print where they are and what it shows."""
    for path in result.write(out, stem):
        print(f"wrote {path}")
    for line in result.findings:
        print(line)


def list_command(arguments: list[str]) -> None:
    """List the figures that can be drawn."""
    if arguments:
        raise UsageError(f"--list takes no arguments; got {' '.join(arguments)}")
    for module in (FROM_RUNS | OF_THE_TOY).values():
        print(f"coopetition {module.TITLE}")
    for number, module in THEORY.items():
        print(f"theory {number}: {module.TITLE}")


COMMANDS: dict[str, Callable[[list[str]], None]] = {
    "coopetition": coopetition_command,
    "theory": theory_command,
    "--list": list_command,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    return exit_code(lambda: _dispatch(given), PROG)


def _dispatch(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help"):
        print(f"usage: {PROG} PAPER FIGURE [flags]\n\n{__doc__}\n")
        for name, command in COMMANDS.items():
            print(f"  {name:12} {command.__doc__}")
        return 0 if arguments else 2
    name, *rest = arguments
    if name not in COMMANDS:
        raise UsageError(f"unknown command {name!r}; choose one of {', '.join(COMMANDS)}")
    COMMANDS[name](rest)
    return 0
