"""Write a run's curves to a small CSV file, and what they are curves of as JSON beside it.

Of runs that were trained together, each into a file of its own.
"""

from dataclasses import dataclass
from pathlib import Path

import tyro

from coopetition.tools.console import print_written
from transformer.cli._runs import places


@dataclass(frozen=True, kw_only=True)
class Flags:
    run: tyro.conf.Positional[Path]
    """The folder of a run, or of runs that were trained together."""
    out: Path
    """The CSV file, or for several runs the folder of theirs; files are written over."""
    spacing: float = 0.0
    """Leave out lines that come sooner after the one before than this share of the sequences seen,
    but for each metric's highest and lowest: 0.02 halves a long run."""


def run(flags: Flags) -> None:
    from transformer.runs.export import export

    for run, out in places(flags.run, flags.out, suffix=".csv"):
        export(run, out, flags.spacing)
        print_written(out, out.with_suffix(".json"))
