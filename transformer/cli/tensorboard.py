"""Write a run's curves as TensorBoard events."""

from dataclasses import dataclass
from pathlib import Path

import tyro


@dataclass(frozen=True, kw_only=True)
class Flags:
    run: tyro.conf.Positional[Path]
    """The run's folder."""
    out: Path
    """A new folder for the events."""


def run(flags: Flags) -> None:
    from transformer.runs.folder import load_run
    from transformer.runs.tensorboard import write_tensorboard

    write_tensorboard(load_run(flags.run), flags.out)
    print(f"wrote {flags.out}")
