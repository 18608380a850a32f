"""The commands of `python -m paper_figures`."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType
from typing import Literal

import tyro

from coopetition.commands import parse, run_command
from coopetition.errors import UsageError
from paper_figures.coopetition import figure_1, figure_5
from paper_figures.sources import kept_runs, trained_run

DEFAULT_SEED = 5  # of initial parameters: the paper's
PROG = "python -m paper_figures"

COOPETITION: dict[int, ModuleType] = {1: figure_1, 5: figure_5}


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
    module = COOPETITION.get(flags.number)
    if module is None:
        raise UsageError(f"there is no figure {flags.number}; choose one of {[*COOPETITION]}")
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
    for path in module.draw(runs).write(flags.out, stem):
        print(f"wrote {path}")
    for run in runs:
        events = (
            f"{name} {'-' if value is None else f'{value:.3g}'}"
            for name, value in asdict(run.timeline()).items()
        )
        print(f"{run.name}: {', '.join(events)}")


def list_command(arguments: list[str]) -> None:
    """List the figures that can be drawn."""
    if arguments:
        raise UsageError(f"--list takes no arguments; got {' '.join(arguments)}")
    for number, module in COOPETITION.items():
        print(f"coopetition {number}   {module.TITLE}")


COMMANDS: dict[str, Callable[[list[str]], None]] = {
    "coopetition": coopetition_command,
    "--list": list_command,
}


def main() -> None:
    """Run the command line."""
    run_command(COMMANDS, "Draw the figures of the papers from runs of our own.", PROG)
