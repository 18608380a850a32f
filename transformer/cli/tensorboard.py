"""Write a run's curves as TensorBoard events; of runs that were trained together, those of each."""

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
    """Folder for the events, or for several runs the folder of theirs; to refresh events, write
    them again into the same folder."""


def run(flags: Flags) -> None:
    from transformer.runs.export import write_tensorboard

    for run, out in places(flags.run, flags.out):
        write_tensorboard(run, out)
        print_written(out)
